"""What a row of the table of operations is, and the types of arguments that rows share.

A row is all there is to an operation: :mod:`~chiron_stream.graph.format` reads arguments by it,
:mod:`~chiron_stream.graph.interpreter` calls by it, :mod:`chiron_stream.recipe` translates into
it. A row may be added if, for every argument that its types let through, the CPU kernel

1. reads no memory but its arguments' and leaves none of its result unwritten (so: no ``empty``,
   no ``resize``, no ``as_strided``; indices are checked by the kernel);
2. touches no file, device or process, and draws no randomness but from the seeded generator;
3. writes to none of its arguments, except those that ``writes`` names;
4. allocates in proportion to tensors that the run on the meta device shows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final

from chiron_stream.graph.arguments import DIMENSION, MAX_DIMENSION, Kind, Number, Tensor, Whole


class Axis(Enum):
    """What an operation does with the axis that its first tensor has the rows of the batch on.

    A fact about the operation that tests show by changing one row. What is ``EACH`` needs no rule
    of its own in :mod:`~chiron_stream.graph.row_rules`, which follows rows through eval graphs.
    ``INNER`` holds where the tensor has more dimensions than the operation mixes: an image without
    a batch has none.
    """

    EACH = "each element comes from those at its place: rows stay apart, on whatever axis"
    NAMED = "only the dimensions that its arguments name are moved or mixed"
    INNER = "rows on the first axis stay there and apart; what is behind is mixed"
    MIXED = "rows are mixed"


@dataclass(frozen=True)
class Op:
    """A row of the table.

    :param overload: in ``torch.ops.aten``.
    :param arguments: ATen's names and our types, in ATen's order from the first on.
    :param axis: of the batch.
    :param fixed: arguments that recipes do not choose; an element type by our name.
    :param keywords: arguments that ATen takes by name only.
    :param mode: the argument that means "training" unless false or 0: only with it is the
        operation random or does it write, and then it stands in the train graph only.
    :param writes: arguments that it changes in place: buffers, or refused.
    :param several: it has a list of results, which references name by ``item``.
    """

    overload: str
    arguments: tuple[tuple[str, Kind], ...]
    axis: Axis
    fixed: Mapping[str, Any] = field(default_factory=dict)
    keywords: frozenset[str] = frozenset()
    mode: str | None = None
    writes: tuple[str, ...] = ()
    several: bool = False

    def position(self, name: str) -> int:
        """Return where the argument of this name stands."""
        return [one for one, _ in self.arguments].index(name)


ANY: Final = ("self", Tensor())
FLOATS: Final = ("self", Tensor(dtype="f32"))
INPUT: Final = ("input", Tensor(dtype="f32"))
WEIGHT: Final = ("weight", Tensor(dtype="f32"))
OPTIONAL: Final = Tensor(optional=True, dtype="f32")
UNIT: Final = Number(0.0, 1.0)
EPSILON: Final = Number(1e-12, 1.0)
SLOPE: Final = Number(-1e6, 1e6)
SCALAR: Final = Number(-1e30, 1e30)
INDEX: Final = Whole(-MAX_DIMENSION, MAX_DIMENSION)


def one(overload: str) -> Op:
    """Return the row of an operation on one float tensor, element by element."""
    return Op(overload, (FLOATS,), Axis.EACH)


def along(overload: str, *dimensions: str) -> Op:
    """Return the row of an operation that takes nothing but dimensions."""
    return Op(overload, (ANY, *((name, DIMENSION) for name in dimensions)), Axis.NAMED)
