"""Where a value of an eval graph has the rows of a batch, and what one operation is given.

A value either does not depend on rows at all, or has them on one axis: ``Apart(axis, group,
outer)``. Merging the rows' axis with those behind it gives ``group`` entries for each row, one row
behind the other; merging it with those before it gives that ``outer`` times.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from chiron_stream.graph.definition import Argument, Node, Ref, references
from chiron_stream.graph.interpreter import Value, tensors_of, value_of
from chiron_stream.graph.ops import OPS

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Apart:
    """Rows stand on ``axis``: ``outer`` times all rows in order, ``group`` entries for each."""

    axis: int
    group: int = 1
    outer: int = 1

    def at(self, axis: int) -> Apart:
        """Return the same on another axis."""
        return replace(self, axis=axis)


Spot = Apart | None
"""Where a value has the rows; None: it depends on none."""


class Mixed(Exception):
    """An operation that does not keep rows apart; says what of it."""


@dataclass(frozen=True)
class Operand:
    """A tensor argument: where its rows are, and its shape."""

    spot: Spot
    shape: Shape

    @property
    def from_right(self) -> int:
        """The rows' axis, counted from the right: -1 is the last."""
        if self.spot is None:
            raise Mixed("an operand without rows")
        return self.spot.axis - len(self.shape)


class Call:
    """One node at work: its arguments by name, and the shape of its result."""

    def __init__(
        self, node: Node, values: Mapping[int, Value], spots: Mapping[int, Spot], rows: int
    ) -> None:
        names = [name for name, _ in OPS[node.op].arguments]
        self.arguments: dict[str, Argument] = dict(zip(names, node.arguments, strict=True))
        self.op = node.op
        self.rows = rows
        self.shape: Shape = tuple(tensors_of(values[node.id])[0].shape)
        self._values = values
        self._spots = spots

    def operand(self, name: str) -> Operand | None:
        """Return a tensor argument; None where it is absent or a number."""
        found = self.arguments[name]
        return self.of(found) if isinstance(found, Ref) else None

    def of(self, reference: Ref) -> Operand:
        """Return what a reference names."""
        shape = tuple(value_of(reference, self._values).shape)
        return Operand(self._spots.get(reference.id), shape)

    @property
    def operands(self) -> list[Operand]:
        """All tensor arguments, those of lists too."""
        return [self.of(one) for one in references(tuple(self.arguments.values()))]

    def needed(self, name: str) -> Operand:
        """Return a tensor argument that is there."""
        found = self.operand(name)
        if found is None:
            raise Mixed(f"{name} is no tensor")
        return found

    def number(self, name: str) -> Any:
        """Return an argument that is no tensor."""
        return self.arguments[name]

    def fixed(self, *names: str) -> None:
        """Refuse arguments that depend on rows."""
        for name in names:
            found = self.operand(name)
            if found is not None and found.spot is not None:
                raise Mixed(f"{name} depends on rows")

    def dimension(self, name: str, rank: int) -> int:
        """Return a dimension, counted from the left."""
        return int(self.number(name)) % rank
