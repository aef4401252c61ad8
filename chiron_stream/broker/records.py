"""What crosses the broker seam: records, where they are, and how far a log reaches.

Plain values, no I/O. Everything a broker says in them is a claim of the adversary: offsets are
hints, timestamps are decoration, keys, headers and values are bytes that somebody must verify.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, NamedTuple

from chiron_stream.errors import PolicyRefused, UsageRefused

VALUE_LIMIT: Final = 1_000_000
"""Largest value of any record, in bytes (PROTOCOL.md section 1); a topic may allow less."""

KEY_AND_HEADERS_LIMIT: Final = 16_384
"""Largest key and headers together, in bytes.

With :data:`VALUE_LIMIT` this stays below Kafka's default ``message.max.bytes`` of 1,048,588.
"""


class Isolation(Enum):
    """Which records a reader sees (Kafka's ``isolation.level``)."""

    READ_COMMITTED = "read_committed"
    READ_UNCOMMITTED = "read_uncommitted"


class Partition(NamedTuple):
    """One partition of one topic."""

    topic: str
    number: int

    def __str__(self) -> str:
        return f"{self.topic}[{self.number}]"


class Outgoing(NamedTuple):
    """A record to append. The partition is always named: where a record goes is a decision."""

    partition: Partition
    value: bytes
    key: bytes | None = None
    headers: tuple[tuple[str, bytes], ...] = ()


class Record(NamedTuple):
    """A record as the broker shows it: unverified bytes at a claimed offset.

    ``timestamp_ms`` is milliseconds since 1970 as the sender or the broker claims it.
    """

    partition: Partition
    offset: int
    value: bytes
    key: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    timestamp_ms: int


class Position(NamedTuple):
    """Where the broker says that it put a record."""

    partition: Partition
    offset: int


class Extent(NamedTuple):
    """Offsets ``first`` to ``last``, both included, of one partition.

    Gaps are normal: transaction markers and aborted records take offsets too.
    """

    partition: Partition
    first: int
    last: int

    def __str__(self) -> str:
        return f"{self.partition} {self.first}-{self.last}"


class Watermarks(NamedTuple):
    """How far a partition reaches, all offsets.

    ``low``: the first one still there. ``stable``: readers of committed records see what is
    below it. ``high``: the one the next record will get.
    """

    low: int
    stable: int
    high: int


@dataclass(frozen=True)
class TopicState:
    """Partitions and settings of one topic, wished for or found.

    ``replication_factor`` of ``None`` wishes for the broker's default. ``settings`` are topic
    settings under Kafka's names, values as Kafka prints them.
    """

    partitions: int
    replication_factor: int | None = None
    settings: Mapping[str, str] = field(default_factory=dict)


def weigh(record: Outgoing) -> int:
    """Return the bytes of key, value and headers together."""
    size = len(record.value) + len(record.key or b"")
    for name, content in record.headers:
        size += len(name.encode()) + len(content)
    return size


def check_size(record: Outgoing, limit: int) -> int:
    """Return the bytes of ``record``, or refuse it before anything is sent.

    :param limit: the largest value that its topic allows, in bytes.
    :raises PolicyRefused: value, or key and headers, are too large.
    """
    size, value = weigh(record), len(record.value)
    if value <= limit and size - value <= KEY_AND_HEADERS_LIMIT:
        return size
    raise PolicyRefused(
        f"a record for {record.partition} is too large; nothing was sent",
        code="RECORD_TOO_LARGE",
        expected=f"a value of at most {limit} bytes, key and headers of at most "
        f"{KEY_AND_HEADERS_LIMIT}",
        got=f"{value} and {size - value}",
        hint="split the content over several records",
    )


def check_extent(extent: Extent) -> Extent:
    """Return ``extent`` if it names at least one offset; else :class:`UsageRefused`."""
    if not 0 <= extent.first <= extent.last:
        raise UsageRefused(
            f"{extent} names no records",
            code="EXTENT",
            expected="0 <= first <= last",
            got=f"first {extent.first}, last {extent.last}",
        )
    return extent
