"""A state's bytes as they come, cut into elements of its segments, checked, and handed on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from chiron_stream.errors import RecipeRefused
from chiron_stream.graph.definition import ITEM_BYTES
from chiron_stream.graph.layout import Segment, refused_state

DTYPES: Final = {"f32": "<f4", "i64": "<i8", "bool": "|u1"}
"""How a segment's elements lie in the bytes."""

_CHECKED: Final = 32_768
"""Elements whose finiteness is looked at together."""

Array = npt.NDArray[Any]


class Piece(NamedTuple):
    """Elements of one segment, in order: the segment's place, the first element's, the values.

    The values are good until the next piece is asked for.
    """

    place: int
    start: int
    values: Array


def blocks(piece: Piece, size: int) -> Iterator[tuple[int, Array]]:
    """Yield the elements of a piece, so many at a time, each time with the first one's place."""
    for at in range(0, len(piece.values), size):
        yield piece.start + at, piece.values[at : at + size]


class Cutter:
    """Cuts the bytes of one state, wherever they are divided, into whole elements."""

    def __init__(self, segments: Sequence[Segment]) -> None:
        self._left = [(place, one) for place, one in enumerate(segments) if one.count][::-1]
        self._start = 0
        self._rest = b""

    def cut(self, data: bytes) -> Iterator[Piece]:
        """Yield the elements that are whole with these bytes.

        :raises RecipeRefused: GRAPH_STATE: the segments have ended.
        """
        view = memoryview(data)
        while view:
            if not self._left:
                raise refused_state("the whole", "its segments and nothing else", "more")
            place, segment = self._left[-1]
            values, view = self._elements(segment, view)
            if len(values):
                yield Piece(place, self._passed(segment, len(values)), values)

    def _elements(self, segment: Segment, view: memoryview) -> tuple[Array, memoryview]:
        """Return elements of a segment, and the bytes behind them; what is no whole one waits."""
        item = ITEM_BYTES[segment.dtype]
        whole = min(segment.count - self._start, len(view) // item) * item
        if self._rest or not whole:
            missing = item - len(self._rest)
            self._rest, view = self._rest + bytes(view[:missing]), view[missing:]
            if len(self._rest) < item:
                return np.empty(0), view
            ready, self._rest = memoryview(self._rest), b""
        else:
            ready, view = view[:whole], view[whole:]
        return np.frombuffer(ready, DTYPES[segment.dtype]), view

    def _passed(self, segment: Segment, count: int) -> int:
        """Move on by so many elements; return where they begin."""
        start, self._start = self._start, self._start + count
        if self._start == segment.count:
            self._left.pop()
            self._start = 0
        return start

    def finish(self) -> None:
        """Return if every segment is whole.

        :raises RecipeRefused: GRAPH_STATE: the bytes ended before.
        """
        if self._left:
            raise refused_state("the whole", "all of its segments", "less")


def check(segment: Segment, piece: Piece) -> None:
    """Refuse elements that no trainer's state has.

    :raises RecipeRefused: GRAPH_STATE: no step was made, or a truth value that is none;
        NOT_FINITE: an infinite number, or none.
    """
    if segment.name == "presence" and piece.values[0] != 1:
        raise refused_state("presence", "1: a step was made", f"{piece.values[0]}")
    if segment.dtype == "bool" and piece.values.max() > 1:
        raise refused_state(segment.name, "truth values of 0 or 1", "another byte")
    if segment.dtype == "f32" and not _finite(piece):
        raise RecipeRefused(
            f"state of the model: {segment.name} does not add up",
            code="NOT_FINITE",
            expected="finite numbers",
            got="an infinite one, or none",
        )


def _finite(piece: Piece) -> bool:
    return all(bool(np.isfinite(values).all()) for _, values in blocks(piece, _CHECKED))


class Turns:
    """Sees to it that states are read one after the other, each to its end, and all of them."""

    def __init__(self, states: int) -> None:
        self._states = states
        self._begun = 0
        self.finished = 0

    def begin(self) -> Turns:
        """Begin the next state."""
        if self._begun != self.finished or self._begun == self._states:
            raise AssertionError("a state is read to its end before the next one")
        self._begun += 1
        return self

    @property
    def first(self) -> bool:
        """Whether it is the first state's turn."""
        return not self.finished

    def finish(self) -> None:
        """End the turn of a state."""
        self.finished += 1

    def expect_all(self) -> None:
        """Go on only if every state was read to its end."""
        if self.finished != self._states:
            raise AssertionError("not every state was read to its end")


class Intake:
    """A sink for one state: cuts it into elements, checks them, hands them on.

    :param checked: the state is a trainer's.
    """

    def __init__(
        self,
        segments: Sequence[Segment],
        add: Callable[[Piece], None],
        turns: Turns,
        *,
        checked: bool,
    ) -> None:
        self._segments = segments
        self._cutter = Cutter(segments)
        self._add = add
        self._turns = turns
        self._checked = checked

    def take(self, chunk: bytes) -> None:
        """Take the state's next bytes.

        :raises RecipeRefused: GRAPH_STATE, NOT_FINITE, as for :func:`check`.
        """
        for piece in self._cutter.cut(chunk):
            if self._checked:
                check(self._segments[piece.place], piece)
            self._add(piece)

    def finish(self) -> None:
        """End the state's turn.

        :raises RecipeRefused: GRAPH_STATE: it is not whole.
        """
        self._cutter.finish()
        self._turns.finish()
