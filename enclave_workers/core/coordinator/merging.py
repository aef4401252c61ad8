"""Merging the slots of a round into one state: the arithmetic, in slot order, rounded once.

For values that are averaged: ``float64(n₀)·v₀ + float64(n₁)·v₁ + …``, divided by ``Σn`` once,
rounded to the segment's type once; products are exact for n below 2²⁹. Counters are the base's
value plus the largest increment. What no slot changes is the base's
(:mod:`chiron_stream.graph.layout` says which is which). A round of one slot is not merged: its bits
are copied.

States come in piece by piece and are not kept: a round takes the memory of its float64 sums, of
the base's counters and of what no slot changes, whatever the number of its slots.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from chiron_stream.graph.layout import Merge, Segment
from enclave_workers.core.coordinator.cutting import DTYPES, Array, Intake, Piece, Turns, blocks
from enclave_workers.core.streaming import Sink

BLOCK: Final = 32_768
"""Elements that are computed at once: their float64 stay in a processor's cache."""

_PART: Final = 262_144
"""Bytes that are copied at once."""


class Copying:
    """A round of one slot: its bits."""

    def __init__(self, segments: Sequence[Segment]) -> None:
        self._segments = segments
        self._data = bytearray(sum(one.bytes for one in segments))
        self._filled = 0
        self._turns = Turns(1)

    def slot(self) -> Sink:
        """Return what the slot's state is read into."""
        return Intake(self._segments, self._copy, self._turns.begin(), checked=True)

    def _copy(self, piece: Piece) -> None:
        data = piece.values.tobytes()
        self._data[self._filled : self._filled + len(data)] = data
        self._filled += len(data)

    def result(self) -> Iterator[bytes]:
        """Yield the bytes of the round's state, a part at a time; the slot was read."""
        self._turns.expect_all()
        for start in range(0, len(self._data), _PART):
            yield bytes(self._data[start : start + _PART])


class Kept:
    """What a merge needs of its base: counters, and what no slot changes.

    :param segments: of a state behind a step; a base without an optimizer's counts from zero.
    """

    def __init__(self, segments: Sequence[Segment]) -> None:
        self._segments = segments
        self._turns = Turns(1)
        self._values = [np.zeros(_kept_elements(one), _kept_type(one)) for one in segments]

    def sink(self, segments: Sequence[Segment]) -> Sink:
        """Return what the base is read into.

        :param segments: of the base: the same, or without an optimizer's.
        """
        return Intake(segments, self._keep, self._turns.begin(), checked=False)

    def _keep(self, piece: Piece) -> None:
        place, start, values = piece
        if self._segments[place].merge is not Merge.AVERAGE:
            self._values[place][start : start + len(values)] = values

    def values(self) -> list[Array]:
        """Return the values by segment, counters as int64; the base was read."""
        self._turns.expect_all()
        return self._values


class Averaging:
    """A round of several slots.

    :param segments: of every slot's state, which is one behind a step.
    :param kept: of the state that every slot began with.
    :param rows: of each slot, in order: the weights.
    """

    def __init__(self, segments: Sequence[Segment], kept: Kept, rows: Sequence[int]) -> None:
        self._segments = segments
        self._base = kept.values()
        self._rows = rows
        self._turns = Turns(len(rows))
        self._sums = [np.empty(_summed_elements(one), _summed_type(one)) for one in segments]
        self._scratch = np.empty(BLOCK, np.float64)

    def slot(self) -> Sink:
        """Return what the next slot's state is read into."""
        turn = self._turns.begin()
        return Intake(self._segments, self._first if turn.first else self._next, turn, checked=True)

    def _first(self, piece: Piece) -> None:
        """Begin the sums: with the first products, not with zero."""
        place, start, values = piece
        total = self._sums[place][start : start + len(values)]
        if self._segments[place].merge is Merge.AVERAGE:
            np.multiply(values, np.float64(self._rows[0]), out=total, dtype=np.float64)
        elif self._segments[place].merge is Merge.COUNT:
            np.copyto(total, self._steps(piece))

    def _next(self, piece: Piece) -> None:
        place, start, values = piece
        if self._segments[place].merge is Merge.AVERAGE:
            self._add(piece, np.float64(self._rows[self._turns.finished]))
        elif self._segments[place].merge is Merge.COUNT:
            total = self._sums[place][start : start + len(values)]
            np.maximum(total, self._steps(piece), out=total)

    def _add(self, piece: Piece, rows: np.float64) -> None:
        for start, values in blocks(piece, BLOCK):
            product = self._scratch[: len(values)]
            np.multiply(values, rows, out=product, dtype=np.float64)
            self._sums[piece.place][start : start + len(values)] += product

    def _steps(self, piece: Piece) -> Array:
        place, start, values = piece
        base: Array = self._base[place][start : start + len(values)]
        return values.astype(np.int64) - base

    def result(self) -> Iterator[bytes]:
        """Yield the bytes of the round's state, a block at a time; every slot was read."""
        self._turns.expect_all()
        for place, segment in enumerate(self._segments):
            for start in range(0, segment.count, BLOCK):
                values = self._merged(place, slice(start, min(start + BLOCK, segment.count)))
                yield values.astype(DTYPES[segment.dtype]).tobytes()

    def _merged(self, place: int, block: slice) -> Array:
        merge = self._segments[place].merge
        base, total = self._base[place], self._sums[place]
        if merge is Merge.AVERAGE:
            average: Array = total[block] / np.float64(sum(self._rows))
            return average
        count: Array = base[block] + total[block] if merge is Merge.COUNT else base[block]
        return count


def _kept_elements(segment: Segment) -> int:
    return 0 if segment.merge is Merge.AVERAGE else segment.count


def _kept_type(segment: Segment) -> str:
    return DTYPES[segment.dtype if segment.merge is Merge.KEEP else "i64"]


def _summed_elements(segment: Segment) -> int:
    return 0 if segment.merge is Merge.KEEP else segment.count


def _summed_type(segment: Segment) -> str:
    return "<f8" if segment.merge is Merge.AVERAGE else "<i8"
