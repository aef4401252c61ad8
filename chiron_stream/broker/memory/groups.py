"""A consumer group over the in-memory broker: partitions are shared evenly among its members."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from chiron_stream.broker.groups import Group, InOrder
from chiron_stream.broker.memory import MemoryBroker
from chiron_stream.broker.records import Isolation, Partition, Record
from chiron_stream.broker.seam import Reader


@dataclass
class _Topic:
    """A group's members, what it has acknowledged, and how often its sharing changed."""

    members: list[MemoryGroup] = field(default_factory=list)
    acknowledged: dict[Partition, int] = field(default_factory=dict)
    generation: int = 0


class MemoryGroups:
    """The groups of one job, one for each topic.

    :param partitions: how many a topic has.
    """

    def __init__(self, broker: MemoryBroker, partitions: Callable[[str], int]) -> None:
        self._broker = broker
        self._partitions = partitions
        self._lock = threading.Lock()
        self._topics: dict[str, _Topic] = {}

    def join(self, topic: str, _arrived: Callable[[], None]) -> Group:
        """Become one more member; the others' shares become smaller."""
        with self._lock:
            shared = self._topics.setdefault(topic, _Topic())
            member = MemoryGroup(self, topic)
            shared.members.append(member)
            shared.generation += 1
            return member

    def leave(self, topic: str, member: MemoryGroup) -> None:
        """Give a member's share to the others."""
        with self._lock:
            shared = self._topics[topic]
            if member in shared.members:
                shared.members.remove(member)
                shared.generation += 1

    def share(self, topic: str, member: MemoryGroup) -> tuple[int, dict[Partition, int]]:
        """Return the sharing's generation, and where a member begins in each of its partitions."""
        with self._lock:
            shared = self._topics[topic]
            if member not in shared.members:
                return shared.generation, {}
            place, count = shared.members.index(member), len(shared.members)
            mine = [Partition(topic, n) for n in range(place, self._partitions(topic), count)]
            return shared.generation, {one: shared.acknowledged.get(one, 0) for one in mine}

    def acknowledge(self, topic: str, place: Partition, offset: int) -> None:
        """Go on behind a record from now on."""
        with self._lock:
            self._topics[topic].acknowledged[place] = offset + 1

    def reader(self, start: dict[Partition, int]) -> Reader:
        """Return a reader of a member's share."""
        return self._broker.reader(start, isolation=Isolation.READ_UNCOMMITTED)


class MemoryGroup:
    """One member; see :class:`~chiron_stream.broker.groups.Group`."""

    def __init__(self, groups: MemoryGroups, topic: str) -> None:
        self._groups = groups
        self._topic = topic
        self._generation = -1
        self._order: InOrder[int] = InOrder()
        self._reader: Reader | None = None
        self._records: list[Record] = []

    def waits(self) -> bool:
        """Tell whether something has come."""
        self._look()
        return bool(self._records)

    def taken(self, limit: int) -> list[Record]:
        """Return what came."""
        self._look()
        found, self._records = self._records[:limit], self._records[limit:]
        for record in found:
            self._order.opened(record.partition, record.offset, record.offset)
        return found

    def _look(self) -> None:
        generation, start = self._groups.share(self._topic, self)
        if generation != self._generation:
            self._generation = generation
            self._leave_reader()
            self._reader = self._groups.reader(start) if start else None
        if self._reader is not None and not self._records:
            self._records = list(self._reader.poll(0))

    def _leave_reader(self) -> None:
        self._records, self._order = [], InOrder()
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def settle(self, place: Partition, offsets: Sequence[int]) -> None:
        """Acknowledge what may be."""
        for offset in self._order.settled(place, offsets):
            self._groups.acknowledge(self._topic, place, offset)

    def close(self) -> None:
        """Leave the group."""
        self._groups.leave(self._topic, self)
        self._leave_reader()
