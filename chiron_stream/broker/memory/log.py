"""One partition's log in memory, with the gaps that a real one has.

A transaction's end puts a marker into each partition it wrote to, and a marker takes an offset;
aborted records keep theirs. Readers of committed records stop below the first record of the
oldest open transaction (the last stable offset), as Kafka's do.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from chiron_stream.broker.records import Isolation, Outgoing, Partition, Record, Watermarks


class Fate(Enum):
    """What became of a transaction."""

    OPEN = "open"
    COMMITTED = "committed"
    ABORTED = "aborted"


@dataclass(eq=False)
class OpenTransaction:
    """A transaction and the partitions it wrote to."""

    started: float
    fate: Fate = Fate.OPEN
    partitions: set[Partition] = field(default_factory=set)


@dataclass(frozen=True)
class _Entry:
    record: Record | None  # None is a marker
    transaction: OpenTransaction | None


class PartitionLog:
    """Entries of one partition; offset ``low + i`` is the i-th entry still kept."""

    def __init__(self, partition: Partition) -> None:
        self._partition = partition
        self._low = 0
        self._entries: list[_Entry] = []
        self._first: dict[OpenTransaction, int] = {}

    def append(self, record: Outgoing, at_ms: int, transaction: OpenTransaction | None) -> int:
        """Append a record and return its offset."""
        offset = self._low + len(self._entries)
        kept = Record(self._partition, offset, record.value, record.key, record.headers, at_ms)
        self._entries.append(_Entry(kept, transaction))
        if transaction is not None:
            self._first.setdefault(transaction, offset)
        return offset

    def mark(self) -> None:
        """Append the marker of a transaction that ended."""
        self._entries.append(_Entry(None, None))

    def watermarks(self) -> Watermarks:
        """Return how far the log reaches."""
        high = self._low + len(self._entries)
        self._first = {t: at for t, at in self._first.items() if t.fate is Fate.OPEN}
        stable = min(self._first.values(), default=high)
        return Watermarks(self._low, stable, high)

    def read(self, offset: int, limit: int, isolation: Isolation) -> tuple[list[Record], int]:
        """Return visible records from ``offset`` on, and the offset to go on at."""
        marks = self.watermarks()
        committed_only = isolation is Isolation.READ_COMMITTED
        end = marks.stable if committed_only else marks.high
        found: list[Record] = []
        while offset < end and len(found) < limit:
            entry = self._entries[offset - self._low]
            offset += 1
            if entry.record is not None and not (committed_only and _aborted(entry)):
                found.append(entry.record)
        return found, offset

    def delete_before(self, offset: int) -> None:
        """Forget everything below ``offset``."""
        keep = max(0, min(offset, self.watermarks().high) - self._low)
        self._entries = self._entries[keep:]
        self._low += keep

    def truncate(self, end: int) -> None:
        """Forget everything from ``end`` on: what an honest broker never does."""
        self._entries = self._entries[: max(0, end - self._low)]


def _aborted(entry: _Entry) -> bool:
    return entry.transaction is not None and entry.transaction.fate is Fate.ABORTED
