"""Where to look for what a reference names: its hinted extent, then a bounded way around it.

Offsets decide nothing: records are picked by what they claim to be, and verified by whoever opens
them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from typing import Final

from chiron_stream.errors import TamperDetected
from chiron_stream.wire.courier import Line
from enclave_workers.core.link import Link

SCAN: Final = 10_000
"""Offsets looked at on either side of a hint."""

STRETCH: Final = 4
"""Offsets asked for at once: an answer holds so many records of at most 1 MB."""

STRIDE: Final = 500
"""Offsets of a step back, on the way before a hint."""

Identify = Callable[[bytes], int | None]


@dataclass(frozen=True)
class Hint:
    """Where something should be: the offsets from ``first`` to ``last``, both included."""

    topic: str
    partition: int
    first: int
    last: int


def hinted(link: Link, hint: Hint) -> Iterator[Sequence[Line]]:
    """Yield the records of the hinted extent, a few at a time.

    A hint beyond the log is no more than a wrong hint, and ends where the log does.
    """
    with suppress(TamperDetected):
        yield from _read(link, hint, hint.first, hint.last + 1)


def around(link: Link, hint: Hint) -> Iterator[Sequence[Line]]:
    """Yield what lies behind the hint, then the hint and what lies before it, a few at a time."""
    marks = link.reach(hint.topic, hint.partition)
    low, high = max(marks.low, hint.first - SCAN), min(marks.high, hint.last + 1 + SCAN)
    behind = min(hint.last + 1, marks.high)
    yield from _read(link, hint, max(low, behind), high)
    for end in range(behind, low, -STRIDE):
        yield from _read(link, hint, max(low, end - STRIDE), end)


def _read(link: Link, hint: Hint, first: int, end: int) -> Iterator[Sequence[Line]]:
    return link.stretches(
        hint.topic, first, end, partition=hint.partition, committed=False, records=STRETCH
    )


def find(link: Link, hint: Hint, total: int, identify: Identify) -> dict[int, bytes]:
    """Return values by index as ``identify`` tells it: the first of each index is taken.

    :param total: how many there should be; scanning ends when all are found.
    """
    found: dict[int, bytes] = {}
    for lines in chain(hinted(link, hint), around(link, hint)):
        for line in lines:
            index = identify(line.value)
            if index is not None and index < total:
                found.setdefault(index, line.value)
        if len(found) == total:
            break
    return found
