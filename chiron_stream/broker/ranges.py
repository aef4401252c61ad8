"""Offsets outside a log: which promise of the broker is broken.

The client library raises one error for both ends; the watermarks tell them apart. Pure functions,
used by both brokers.
"""

from __future__ import annotations

from chiron_stream.broker.records import Partition, Watermarks
from chiron_stream.errors import RolledBack, Withheld


def refuse_out_of_range(partition: Partition, offset: int, marks: Watermarks) -> None:
    """Raise if a reader at ``offset`` cannot read on.

    :raises Withheld: the offset is below the low watermark.
    :raises RolledBack: the offset is above the end of the log.
    """
    if offset < marks.low:
        raise Withheld(
            f"records of {partition} are withheld",
            expected=f"the records from offset {offset} on",
            got=f"a log that begins at {marks.low}",
            hint="somebody deleted records or shortened the topic's retention: chiron topics check",
        )
    if offset > marks.high:
        raise truncated(partition, offset, marks.high)


def truncated(partition: Partition, offset: int, end: int | None = None) -> RolledBack:
    """Return the error of a log that ends before a position that was already reached."""
    return RolledBack(
        f"the log of {partition} was rolled back",
        expected=f"a log that reaches offset {offset}",
        got="a shortened log" if end is None else f"a log that ends at {end}",
        hint="the broker lost acknowledged records, or another log was put in its place",
    )
