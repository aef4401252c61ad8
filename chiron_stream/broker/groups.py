"""Sharing a topic's partitions among workers: each record is for one of them, and none is lost.

A record is acknowledged when its core is done with it *and* with every one before it in its
partition: a group goes on behind what was acknowledged last, so that whatever a dead worker had in
hand comes to another. Some records come twice; whoever takes them must not mind.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Generic, Protocol, TypeVar

from chiron_stream.broker.records import Partition, Record

TAKEN_AHEAD: Final = 2000
"""Records taken from a group and not settled yet, at most."""

T = TypeVar("T")


class Group(Protocol):
    """A membership in a consumer group, as long as it is not closed."""

    def taken(self, limit: int) -> list[Record]:
        """Return records that came, in order within each partition; does not wait.

        :raises ChironError: the group cannot be followed any more.
        """
        ...

    def waits(self) -> bool:
        """Tell whether :meth:`taken` has something to return or to raise."""
        ...

    def settle(self, place: Partition, offsets: Sequence[int]) -> None:
        """Be done with records: the group will not bring them again."""
        ...

    def close(self) -> None:
        """Leave the group; what is not settled goes to others."""
        ...


Joining = Callable[[str, Callable[[], None]], Group]
"""Joins the group of a topic; the second argument is called when something has come."""


class InOrder(Generic[T]):
    """Which records may be acknowledged: those that are settled with all before them."""

    def __init__(self) -> None:
        self._open: dict[Partition, deque[tuple[int, T]]] = {}
        self._settled: dict[Partition, set[int]] = {}

    def __len__(self) -> int:
        return sum(len(one) for one in self._open.values())

    def opened(self, place: Partition, offset: int, handle: T) -> None:
        """Note a record that came.

        A partition that begins again at or before what is open was taken away and given back: what
        was open then is another's, or comes again.
        """
        queue = self._open.setdefault(place, deque())
        if queue and offset <= queue[-1][0]:
            self.forget(place)
            queue = self._open.setdefault(place, deque())
        queue.append((offset, handle))

    def settled(self, place: Partition, offsets: Sequence[int]) -> list[T]:
        """Note that records are settled; return the handles that may be acknowledged, in order."""
        queue = self._open.get(place, deque())
        done = self._settled.setdefault(place, set())
        done.update(offsets)
        handles: list[T] = []
        while queue and queue[0][0] in done:
            offset, handle = queue.popleft()
            done.discard(offset)
            handles.append(handle)
        if not queue:
            done.clear()
        return handles

    def forget(self, place: Partition) -> None:
        """Forget a partition that is no longer ours."""
        self._open.pop(place, None)
        self._settled.pop(place, None)
