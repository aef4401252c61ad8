"""A consumer group by Faust: the one place of the workers that imports it.

Faust's worker runs in a thread with an event loop of its own. Its agent acknowledges nothing by
itself (``noack``); acknowledgements come from the courier, in the order of each partition, since
Faust commits past whatever is acknowledged last.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from chiron_stream.bridge.application import FaustThread, Reached
from chiron_stream.broker.groups import TAKEN_AHEAD, InOrder
from chiron_stream.broker.records import Partition, Record


class FaustGroup(FaustThread):
    """One member of a consumer group, for one topic; the arguments are :class:`FaustThread`'s."""

    def __init__(
        self,
        servers: str,
        properties: Mapping[str, str],
        topic: str,
        group: str,
        arrived: Reached,
    ) -> None:
        self._order: InOrder[Any] = InOrder()
        self._records: deque[Record] = deque()
        super().__init__(servers, properties, topic, group, arrived)

    def waits(self) -> bool:
        """Tell whether something has come, or the end of the group."""
        return bool(self._records) or self._error is not None

    def taken(self, limit: int) -> list[Record]:
        """Return what came."""
        if self._error is not None:
            raise self._error
        found = [self._records.popleft() for _ in range(min(limit, len(self._records)))]
        if found:
            self._loop.call_soon_threadsafe(self._room.set)
        return found

    def settle(self, place: Partition, offsets: Sequence[int]) -> None:
        """Acknowledge what may be, in the thread of Faust."""
        with suppress(RuntimeError):  # the loop has ended: nothing more is acknowledged
            self._loop.call_soon_threadsafe(self._acknowledge, place, tuple(offsets))

    def _acknowledge(self, place: Partition, offsets: tuple[int, ...]) -> None:
        for event in self._order.settled(place, offsets):
            event.ack()
        self._room.set()

    async def _hear(self, stream: Any) -> None:
        async for event in stream.noack().events():
            message = event.message
            place = Partition(message.topic, message.partition)
            self._order.opened(place, message.offset, event)
            stamp = int(message.timestamp * 1000)
            value = message.value or b""  # a tombstone has none
            self._records.append(Record(place, message.offset, value, None, (), stamp))
            self._arrived()
            while len(self._order) >= TAKEN_AHEAD:
                self._room.clear()
                await self._room.wait()
