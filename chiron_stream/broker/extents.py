"""Reading what was announced: exact extents, and a bounded scan when a hint is wrong.

The offsets that parties and coordinators name are hints of an untrusted log. :func:`read_extent`
reads exactly what is asked for and says what is wrong with the log; :func:`locate` looks for
records by what they are, starts at the hint, and never scans more than its bound.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Hashable, Iterator
from typing import Final, TypeVar

from chiron_stream import timeouts
from chiron_stream.broker.ranges import refuse_out_of_range
from chiron_stream.broker.records import (
    Extent,
    Isolation,
    Partition,
    Record,
    check_extent,
)
from chiron_stream.broker.seam import Broker, Reader
from chiron_stream.errors import Timeout

Id = TypeVar("Id", bound=Hashable)

SCAN_OFFSETS: Final = 10_000
"""How many offsets :func:`locate` looks at on either side of a hint."""

POLL_RECORDS: Final = 500
"""Records taken at once, at most; none from behind the end, so that a reader may go on there."""


def read_extent(
    broker: Broker,
    extent: Extent,
    *,
    isolation: Isolation = Isolation.READ_COMMITTED,
    timeout: float = timeouts.READ,
) -> Iterator[Record]:
    """Yield every record of ``extent`` that ``isolation`` shows, in order of offset.

    :raises Withheld: the extent begins below the low watermark.
    :raises RolledBack: the extent ends above the end of the log.
    :raises Timeout: not all was read in ``timeout`` seconds, for instance because a writer's open
        transaction stands in the way.
    """
    check_extent(extent)
    marks = broker.watermarks(extent.partition)
    refuse_out_of_range(extent.partition, extent.first, marks)
    refuse_out_of_range(extent.partition, extent.last + 1, marks)
    with broker.reader({extent.partition: extent.first}, isolation=isolation) as reader:
        yield from read_until(reader, extent.partition, extent.last + 1, timeout=timeout)


def read_until(
    reader: Reader, partition: Partition, end: int, *, timeout: float = timeouts.READ
) -> Iterator[Record]:
    """Yield records until the reader's position reaches ``end`` (which is not included).

    The position decides, not the last record: the log may end in markers and aborted records.

    :raises Timeout: ``end`` was not reached within ``timeout`` seconds.
    """
    deadline = time.monotonic() + timeout
    while (position := reader.position(partition)) < end:
        left = deadline - time.monotonic()
        if left <= 0:
            raise Timeout(
                f"{partition} was not read to its end",
                expected=f"offset {end} within {timeout:g} s",
                got=f"offset {position}",
                hint="an open transaction of another writer, or a broker that does not answer",
            )
        for record in reader.poll(min(left, 0.5), min(POLL_RECORDS, end - position)):
            if record.offset < end:
                yield record


def locate(
    broker: Broker,
    hint: Extent,
    wanted: Collection[Id],
    identify: Callable[[Record], Id | None],
    *,
    isolation: Isolation = Isolation.READ_COMMITTED,
    scan_offsets: int = SCAN_OFFSETS,
    timeout: float = timeouts.READ,
) -> dict[Id, Record]:
    """Find records by what they are: in the hinted extent, then around it.

    :param wanted: ids to look for.
    :param identify: the id of a record that is genuine as far as the caller can tell, or None;
        the first record of each wanted id is taken.
    :param scan_offsets: offsets looked at before and after the hint, each.
    :return: what was found; what is missing is for the caller to judge.
    """
    marks = broker.watermarks(hint.partition)
    end = marks.stable if isolation is Isolation.READ_COMMITTED else marks.high
    found: dict[Id, Record] = {}
    for window in _windows(check_extent(hint), marks.low, end, scan_offsets):
        if len(found) == len(set(wanted)):
            break
        with broker.reader({window.partition: window.first}, isolation=isolation) as reader:
            for record in read_until(reader, window.partition, window.last + 1, timeout=timeout):
                identity = identify(record)
                if identity is not None and identity in wanted:
                    found.setdefault(identity, record)
    return found


def _windows(hint: Extent, low: int, end: int, scan: int) -> Iterator[Extent]:
    """Yield the hint, what follows it, what precedes it: as far as ``low`` to ``end`` reaches."""
    spans = (
        (hint.first, hint.last),
        (hint.last + 1, hint.last + scan),
        (hint.first - scan, hint.first - 1),
    )
    for first, last in spans:
        inside = Extent(hint.partition, max(first, low), min(last, end - 1))
        if inside.first <= inside.last:
            yield inside
