"""Rows as they come become shards: by their count, and by how long the first of them has waited."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from chiron_stream.bridge.decoding import Reading
from chiron_stream.bridge.gathering import Gathering, Refused
from chiron_stream.bridge.positions import Position
from chiron_stream.broker.records import Record
from chiron_stream.clients.publication import Publication
from chiron_stream.clients.windows import Window
from chiron_stream.errors import UsageRefused
from chiron_stream.job.schema import Schema


@dataclass(frozen=True)
class Cut:
    """When a shard is cut: so many rows wait, or the first of them has waited so many seconds.

    :raises UsageRefused: shards without rows, or that wait for no time.
    """

    rows: int
    seconds: float

    def __post_init__(self) -> None:
        if self.rows < 1 or self.seconds <= 0:
            raise UsageRefused(
                "a shard has at least one row, and some time to get it",
                got=f"{self.rows} rows, {self.seconds:g} s",
            )


class Watcher(Protocol):
    """Hears what becomes of records."""

    def opened(self, publication: Publication, position: Position) -> None:
        """Hear that the data set is claimed, and where reading goes on."""
        ...

    def shard(self, publication: Publication, number: int, window: Window) -> None:
        """Hear of a shard that is about to be sealed and sent."""
        ...

    def refused(self, one: Refused) -> None:
        """Hear of a record that is no row."""
        ...

    def settle(self) -> None:
        """Be done with what was refused: the next shard's token is behind it."""
        ...


class Windowing:
    """Cuts what comes into the shards of one publication.

    :param position: behind the last accepted shard.
    :param now: a clock that never goes back, in seconds.
    """

    def __init__(
        self,
        publication: Publication,
        schema: Schema,
        read: Reading,
        position: Position,
        cut: Cut,
        watcher: Watcher,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._publication = publication
        self._gathering = Gathering(schema, read, position)
        self._number = publication.accept.next_number
        self._cut = cut
        self._watcher = watcher
        self._now = now
        self._since = 0.0

    def is_new(self, record: Record) -> bool:
        """Tell whether a record is in no shard and was not taken before."""
        return self._gathering.is_new(record)

    def take(self, record: Record) -> None:
        """Take a record; a shard that it fills is sent."""
        refused = self._gathering.take(record)
        if refused is not None:
            self._watcher.refused(refused)
        if len(self._gathering) == 1:
            self._since = self._now()
        if len(self._gathering) >= self._cut.rows:
            self.flush()

    def waited(self) -> bool:
        """Tell whether the first row that waits has waited long enough."""
        return len(self._gathering) > 0 and self._now() - self._since >= self._cut.seconds

    def flush(self) -> None:
        """Send what waits as a shard, however little it is."""
        if not len(self._gathering):
            return
        window, rows = self._gathering.cut()
        for one in rows.refused:
            self._watcher.refused(one)
        self._publication.drop(rows.dropped)
        if window is None:
            return
        self._watcher.settle()
        self._watcher.shard(self._publication, self._number, window)
        self._publication.add(self._number, window)
        self._number += 1

    def behind(self, ends: Mapping[int, int]) -> dict[int, tuple[int, int]]:
        """Return, of each partition that is not read to its end, the next offset and that end."""
        reached = self._gathering.next
        return {
            number: (reached.get(number, 0), end)
            for number, end in ends.items()
            if reached.get(number, 0) < end
        }
