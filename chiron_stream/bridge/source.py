"""The owner's own topic: how far it reaches, its records between two positions, and as they come.

Offsets of a consumer group decide nothing here. Each start is a group of its own, which begins
where the resume token says and never commits again.
"""

from __future__ import annotations

import uuid
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from chiron_stream.bridge.application import FaustThread, Reached
from chiron_stream.bridge.positions import Position
from chiron_stream.broker.extents import read_until
from chiron_stream.broker.kafka import KafkaBroker
from chiron_stream.broker.ranges import refuse_out_of_range
from chiron_stream.broker.records import Partition, Record
from chiron_stream.broker.seam import Closing
from chiron_stream.errors import UsageRefused

TAKEN_AHEAD: Final = 4_000
"""Records taken from Faust and not asked for yet, at most."""

AHEAD_BYTES: Final = 32 * 1024 * 1024
"""Bytes of such records, at most, and one record more."""


class SourceTopic(Closing):
    """A topic of the owner's own cluster.

    :param properties: Kafka client properties under Kafka's own names.
    :param only: the partitions to read; default: all.
    :raises UsageRefused: no such topic, or no such partition.
    """

    def __init__(
        self,
        servers: str,
        properties: Mapping[str, str],
        topic: str,
        only: Sequence[int] | None = None,
    ) -> None:
        self.servers = servers
        self.properties = dict(properties)
        self.topic = topic
        self.broker = KafkaBroker(servers, properties)
        self.partitions = self._chosen(only)

    def _chosen(self, only: Sequence[int] | None) -> tuple[int, ...]:
        found = self.broker.administration().describe([self.topic])
        count = found[self.topic].partitions if self.topic in found else 0
        chosen = tuple(range(count)) if only is None else tuple(sorted(set(only)))
        if not chosen or chosen[-1] >= count or chosen[0] < 0:
            raise UsageRefused(
                f"no such topic or partition at {self.servers}: {self.topic}",
                code="UNKNOWN_TOPIC",
                expected=f"partitions below {count}" if count else "an existing topic",
                got=", ".join(map(str, only or ())) or "none",
            )
        return chosen

    def beginning(self) -> Position:
        """Return the position in front of everything that is there now."""
        marks = {number: self.broker.watermarks(self.place(number)) for number in self.partitions}
        return Position(0, {number: one.low for number, one in marks.items()})

    def place(self, number: int) -> Partition:
        """Return one of its partitions."""
        return Partition(self.topic, number)

    def ends(self) -> dict[int, int]:
        """Return, for each partition, the offset behind all committed records."""
        places = {self.place(number): number for number in self.partitions}
        stable = self.broker.administration().stable(places)
        return {number: stable[place] for place, number in places.items()}

    def check(self, offsets: Mapping[int, int]) -> None:
        """See that the records from these offsets on are still there.

        :raises UsageRefused: offsets of a partition that is not read.
        :raises Withheld: the topic's retention has removed some of them.
        :raises RolledBack: the topic is shorter than it was: it is another one.
        """
        for number, offset in offsets.items():
            if number not in self.partitions:
                raise UsageRefused(
                    f"the data set was read from partition {number} too",
                    expected="the same partitions as before",
                    got=", ".join(map(str, self.partitions)),
                )
            place = self.place(number)
            refuse_out_of_range(place, offset, self.broker.watermarks(place))

    def between(self, before: Position, behind: Position) -> Iterator[Record]:
        """Yield the committed records between two positions, partition by partition.

        :raises Withheld: some are no longer there.
        """
        spans = {one: (before.offsets.get(one, 0), end) for one, end in behind.offsets.items()}
        self.check({one: first for one, (first, end) in spans.items() if first < end})
        for number, (first, end) in spans.items():
            if first < end:
                yield from self.records(number, first, end)

    def records(self, number: int, first: int, end: int) -> Iterator[Record]:
        """Yield the committed records of one partition between two offsets."""
        place = self.place(number)
        with self.broker.reader({place: first}, wait=0.01) as reader:
            yield from read_until(reader, place, end)

    def is_empty(self, number: int, first: int, end: int) -> bool:
        """Tell whether no committed record stands between two offsets: markers do too."""
        return first >= end or next(self.records(number, first, end), None) is None

    def listen(self, position: Position, group: str, arrived: Reached) -> FaustSource:
        """Begin to take records from a position on.

        :param group: how the ids of its consumer groups begin.
        """
        name = f"{group}.{uuid.uuid4().hex}"
        places = {self.place(number): offset for number, offset in position.offsets.items()}
        self.broker.administration().set_group_offsets(name, places)
        return FaustSource(self.servers, self.properties, self.topic, name, arrived)

    def close(self) -> None:
        """Disconnect."""
        self.broker.close()


class FaustSource(FaustThread):
    """Records of a topic as Faust brings them; the arguments are :class:`FaustThread`'s."""

    def __init__(
        self, servers: str, properties: Mapping[str, str], topic: str, group: str, arrived: Reached
    ) -> None:
        self._records: deque[Record] = deque()
        self._bytes = 0
        super().__init__(servers, properties, topic, group, arrived)

    def taken(self, limit: int) -> list[Record]:
        """Return records that came, in order within each partition; does not wait.

        Some come twice, after Faust has lost its group for a while.

        :raises BrokerUnreachable: the group cannot be followed any more.
        """
        if self._error is not None:
            raise self._error
        found = [self._records.popleft() for _ in range(min(limit, len(self._records)))]
        if found:
            self._bytes -= sum(len(one.value) for one in found)
            self._loop.call_soon_threadsafe(self._room.set)
        return found

    def _application(self) -> Any:
        app = super()._application()
        # Faust has no other word for leaving out the records of aborted transactions. Nothing is
        # acknowledged, so that it never commits, in a transaction or without.
        app.consumer.in_transaction = True
        return app

    async def _hear(self, stream: Any) -> None:
        async for event in stream.noack().events():
            message = event.message
            place = Partition(message.topic, message.partition)
            value = message.value or b""  # a tombstone has none
            stamp = int(message.timestamp * 1000)
            self._bytes += len(value)
            self._records.append(Record(place, message.offset, value, message.key, (), stamp))
            self._arrived()
            while len(self._records) >= TAKEN_AHEAD or self._bytes >= AHEAD_BYTES:
                self._room.clear()
                await self._room.wait()
