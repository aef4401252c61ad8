"""Where answers go: a topic of the client's own, and the group's offsets with them, or neither.

Each partition of the source has one writer at a time. Its transactional id names group and
partition, so that whoever opens it fences whoever wrote before, settles what that one left open,
and then reads where the group stands: exactly behind what is answered.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from chiron_stream.broker.kafka import KafkaBroker
from chiron_stream.broker.kafka.transactions import KafkaWriter
from chiron_stream.broker.records import Outgoing, Partition
from chiron_stream.broker.seam import Closing
from chiron_stream.errors import ChironError, WriterLost

MOST_LOSSES: Final = 5
"""Transactions of one partition that fail one after the other; then the bridge ends."""


class Outlet(Closing):
    """The transactional writer for the answers to one partition of the source.

    :param place: the partition of the source.
    """

    def __init__(self, broker: KafkaBroker, group: str, place: Partition) -> None:
        self._broker = broker
        self._group = group
        self._place = place
        self._writer: KafkaWriter | None = None

    def open(self) -> int | None:
        """Become the one writer; return the offset at which the group goes on, if it has any.

        :raises ChironError: the broker does not let us, or is away.
        """
        self.close()
        name = f"{self._group}.{self._place.topic}.{self._place.number}"
        self._writer = self._broker.transactional_writer(name, successor=lambda: False)
        try:
            self._writer.start()
        except WriterLost as error:
            raise reason_of(error, ChironError) from error
        return self.committed()

    def committed(self) -> int | None:
        """Return the offset at which the group goes on."""
        administration = self._broker.administration()
        return administration.group_offsets(self._group, [self._place]).get(self._place)

    def write(self, records: Sequence[Outgoing], behind: int) -> None:
        """Write answers and have the group go on behind what they answer: both or neither.

        :raises WriterLost: another bridge has this partition by now, or nobody can tell whether
            the transaction is there: :meth:`open` again.
        """
        assert self._writer is not None  # noqa: S101  (an outlet is opened first)
        transaction = self._writer.begin()
        for record in records:
            transaction.send(record)
        transaction.flush()
        transaction.send_offsets(self._group, {self._place: behind})
        transaction.commit()

    def close(self) -> None:
        """Disconnect."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def reason_of(error: WriterLost, kind: type[ChironError]) -> ChironError:
    """Return why a writer is lost, if that is an error of a kind; else the loss itself."""
    return error.__cause__ if isinstance(error.__cause__, kind) else error
