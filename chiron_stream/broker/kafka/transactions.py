"""The transactional writer on Apache Kafka.

What kafka-python leaves to its caller (measured, and kept true by ``tests/faults``):

* A failed future is not an absent record, and a commit that ignores it makes it visible: every
  future is checked before the commit.
* A transactional producer refuses plain sends: chunks go through a second producer.
* ``commit_transaction`` has no time-out: it runs under a watchdog.
* Back to back, the broker answers CONCURRENT_TRANSACTIONS and the client waits its
  ``retry.backoff.ms``: 2 ms instead of 100.
* A commit is answered before its markers are written: it counts when every partition shows it.
* Fencing, an expired transaction and a broker's own error can all arrive as the same error: the
  caller's own log tells whether there is a successor.
* After an error the library's own thread tries to bump its epoch, which can fence a successor:
  see :data:`PROTOCOL`. A writer is therefore finished at the first error: its producer is cut off
  at once, and nothing is aborted or retried.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final, NoReturn

from kafka import KafkaProducer, TopicPartition
from kafka.errors import KafkaError
from kafka.structs import OffsetAndMetadata

from chiron_stream import timeouts
from chiron_stream.broker.kafka.failures import translate, translated
from chiron_stream.broker.kafka.producing import (
    KafkaDelivery,
    KafkaProducing,
    close_quietly,
    hand_over,
    producer_settings,
)
from chiron_stream.broker.records import Outgoing, Partition, Position
from chiron_stream.broker.seam import Closing
from chiron_stream.broker.writing import WriterState
from chiron_stream.errors import ChironError, PolicyRefused, UsageRefused, WriterLost
from chiron_stream.events import emit

PROTOCOL: Final = (2, 4)
"""The newest protocol that a transactional producer speaks: the last one without KIP-360.

From 2.5 on kafka-python 3.0.12 answers INVALID_PRODUCER_EPOCH by asking for a new epoch, from its
own thread. While the successor has a transaction open, that request voids it and fences the
successor: a zombie that wakes up and sends once takes its successor down. Without KIP-360 the same
error is final.
``tests/faults/test_library.py`` shows it with this pin and, as its control, without.
"""

RETRY_BACKOFF_MS: Final = 2
"""Kafka's ``retry.backoff.ms`` for transactions; the default of 100 sets the pace otherwise."""


_CONFIRM_SECONDS: Final = 0.001


class KafkaTransaction:
    """One open transaction; see :class:`~chiron_stream.broker.seam.Transaction`."""

    def __init__(self, writer: KafkaWriter) -> None:
        self._writer = writer
        self._deliveries: list[KafkaDelivery] = []

    def send(self, record: Outgoing) -> None:
        """Add a record; see :class:`~chiron_stream.broker.seam.Transaction`."""
        self._deliveries.append(self._writer.send_in_transaction(record))

    def flush(self) -> list[Position]:
        """Wait until every record is acknowledged; see the seam."""
        return self._writer.flush_transaction(self._deliveries)

    def send_offsets(self, group: str, offsets: Mapping[Partition, int]) -> None:
        """Have a consumer group go on at these offsets, with this transaction or not at all.

        The broker asks for no membership: who may write is decided by the transactional id alone.
        """
        self._writer.send_offsets_in_transaction(group, offsets)

    def commit(self) -> list[Position]:
        """Flush, check every future, commit; see the seam."""
        positions = self.flush()
        self._writer.commit_transaction(positions)
        return positions


class KafkaWriter(Closing):
    """A transactional producer with a plain one beside it; see the seam."""

    def __init__(
        self,
        connection: Mapping[str, Any],
        endpoint: str,
        admit: Callable[[Outgoing], int],
        transactional_id: str,
        successor: Callable[[], bool],
        timeout: float,
        stable: Callable[[Collection[Partition]], Mapping[Partition, int]],
    ) -> None:
        self._stable = stable
        self._connection = connection
        self._endpoint = endpoint
        self._admit = admit
        self._id = transactional_id
        self._state = WriterState(transactional_id, successor)
        self._timeout = timeout
        self._producer: Any = None
        self._plain: KafkaProducing | None = None

    def start(self) -> None:
        """Fence earlier writers and settle what they left open; see the seam."""
        self._state.starting()
        transactional = {
            "api_version": PROTOCOL,
            "transactional_id": self._id,
            "transaction_timeout_ms": int(self._timeout * 1000),
            "retry_backoff_ms": RETRY_BACKOFF_MS,
        }
        self._plain = KafkaProducing(self._connection, self._endpoint, self._admit)
        doing = f"starting the transactional writer {self._id}"
        began = time.monotonic()
        with translated(doing, self._endpoint):
            self._producer = KafkaProducer(**producer_settings(self._connection), **transactional)
            self._guarded(self._producer.init_transactions, doing)
        self._state.started()
        emit("writer.started", transactional_id=self._id, seconds=time.monotonic() - began)

    def begin(self) -> KafkaTransaction:
        """Open the next transaction; see the seam."""
        self._state.beginning()
        self._guarded(self._producer.begin_transaction, "beginning a transaction")
        return KafkaTransaction(self)

    def send_plain(
        self, records: Sequence[Outgoing], sent: Callable[[], None] = lambda: None
    ) -> list[Position]:
        """Append outside any transaction and wait for all acknowledgements; see the seam."""
        self._state.check_usable()
        assert self._plain is not None  # noqa: S101  (a started writer has one)
        try:
            deliveries = [self._plain.send(record) for record in records]
            sent()
            return [delivery.result() for delivery in deliveries]
        except (PolicyRefused, UsageRefused):
            raise  # refused before anything was sent
        except ChironError as error:
            self._finish(error)

    def send_in_transaction(self, record: Outgoing) -> KafkaDelivery:
        """Hand one record to the open transaction."""
        self._state.check_open()
        self._admit(record)
        try:
            future = hand_over(self._producer, record, self._endpoint)
        except ChironError as error:
            self._finish(error)
        return KafkaDelivery(future, record.partition, self._endpoint)

    def flush_transaction(self, deliveries: Sequence[KafkaDelivery]) -> list[Position]:
        """Return the positions of all deliveries, or finish the writer at the first failure."""
        self._state.check_open()
        try:
            return [delivery.result() for delivery in deliveries]
        except ChironError as error:
            self._finish(error)

    def commit_transaction(self, positions: Sequence[Position]) -> None:
        """Commit under the watchdog; on any error the writer is finished."""
        self._state.check_open()
        deadline = time.monotonic() + timeouts.COMMIT_WATCHDOG
        self._watched(self._producer.commit_transaction, f"committing a transaction of {self._id}")
        self._confirm(positions, deadline)
        self._state.committed()

    def send_offsets_in_transaction(self, group: str, offsets: Mapping[Partition, int]) -> None:
        """Add a group's offsets to the open transaction, under the watchdog."""
        self._state.check_open()
        places = {
            TopicPartition(*place): OffsetAndMetadata(offset, "", -1)
            for place, offset in offsets.items()
        }
        self._watched(
            lambda: self._producer.send_offsets_to_transaction(places, group),
            f"adding offsets of the group {group} to a transaction of {self._id}",
        )

    def _watched(self, call: Callable[[], object], doing: str) -> None:
        """Call what has no time-out of its own; without an answer the writer is finished."""
        outcome: list[KafkaError | None] = []

        def run() -> None:
            try:
                call()
            except KafkaError as error:
                outcome.append(error)
            else:
                outcome.append(None)

        thread = threading.Thread(target=run, name=f"writer {self._id}", daemon=True)
        thread.start()
        thread.join(timeouts.COMMIT_WATCHDOG)
        if not outcome:
            self._finish(
                WriterLost(
                    f"no answer while {doing} at {self._endpoint}",
                    code="COMMIT_WATCHDOG",
                    expected=f"an answer within {timeouts.COMMIT_WATCHDOG:g} s",
                )
            )
        if (error := outcome[0]) is not None:
            self._finish(translate(error, doing, self._endpoint))

    def _confirm(self, positions: Sequence[Position], deadline: float) -> None:
        """Wait until every partition has the transaction's marker.

        The broker answers a commit when it has decided it, and writes the markers afterwards. A
        broker killed in between can forget a marker (seen with Apache Kafka 4.3.1, one node), and
        the next transaction's end then decides over the records. So nothing is called committed
        before readers can see it.
        """
        last: dict[Partition, int] = {}
        for position in positions:
            last[position.partition] = max(position.offset, last.get(position.partition, -1))
        try:
            while last:
                stable = self._stable(last)
                last = {place: offset for place, offset in last.items() if stable[place] <= offset}
                if last and time.monotonic() > deadline:
                    raise WriterLost(
                        f"a committed transaction of {self._id} does not show in {min(last)}",
                        code="COMMIT_UNCONFIRMED",
                        expected=f"a marker within {timeouts.COMMIT_WATCHDOG:g} s",
                    )
                if last:
                    time.sleep(_CONFIRM_SECONDS)
        except ChironError as error:
            self._finish(error)

    def _guarded(self, call: Callable[[], object], doing: str) -> None:
        try:
            call()
        except KafkaError as error:
            self._finish(translate(error, doing, self._endpoint))

    def _finish(self, error: ChironError) -> NoReturn:
        emit("writer.finished", transactional_id=self._id, code=error.code)
        self._disconnect(0.0)
        self._state.finish(error)

    def _disconnect(self, seconds: float) -> None:
        if self._producer is not None:
            close_quietly(self._producer, seconds)

    def close(self) -> None:
        """Disconnect; what is open stays open until it expires or a successor starts."""
        if self._plain is not None:
            self._plain.close()
        self._disconnect(timeouts.DELIVERY if self._state.untroubled else 0.0)
        self._state.closed()
