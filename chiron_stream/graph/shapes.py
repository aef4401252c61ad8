"""Rows of the table: shapes, parts, reductions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from chiron_stream.graph.arguments import (
    DIMENSION,
    DIMENSIONS,
    MAX_DIMENSION,
    MAX_RANK,
    MAX_TENSORS,
    Flag,
    Number,
    Sizes,
    Tensor,
    Tensors,
    Whole,
    Wholes,
)
from chiron_stream.graph.operation import ANY, FLOATS, INDEX, Axis, Op, along

_DIM: Final = ("dim", DIMENSION)
_BORDER: Final = Whole(-MAX_DIMENSION, MAX_DIMENSION, optional=True)
_PARTS: Final = Wholes(0, MAX_DIMENSION, most=MAX_TENSORS, least=1)


def _reduced(overload: str) -> Op:
    return Op(overload, (FLOATS, ("dim", DIMENSIONS), ("keepdim", Flag())), Axis.NAMED)


def _all(overload: str) -> Op:
    return Op(overload, (FLOATS,), Axis.MIXED)


def _joined(overload: str) -> Op:
    return Op(overload, (("tensors", Tensors()), _DIM), Axis.NAMED)


SHAPES: Final[Mapping[str, Op]] = {
    "flatten": along("flatten.using_ints", "start_dim", "end_dim"),
    "unflatten": Op("unflatten.int", (ANY, _DIM, ("sizes", Sizes())), Axis.NAMED),
    "reshape": Op("reshape.default", (ANY, ("shape", Sizes())), Axis.MIXED),
    "transpose": along("transpose.int", "dim0", "dim1"),
    "permute": Op("permute.default", (ANY, ("dims", DIMENSIONS)), Axis.NAMED),
    "unsqueeze": along("unsqueeze.default", "dim"),
    "squeeze": along("squeeze.dim", "dim"),
    "clone": Op("clone.default", (ANY,), Axis.EACH),
    "contiguous": Op("contiguous.default", (ANY,), Axis.EACH),
    "expand": Op("expand.default", (ANY, ("size", Sizes())), Axis.NAMED),
    "expand_as": Op("expand_as.default", (ANY, ("other", Tensor())), Axis.NAMED),
    # parts
    "select": Op("select.int", (ANY, _DIM, ("index", INDEX)), Axis.NAMED),
    "slice": Op(
        "slice.Tensor",
        (ANY, _DIM, ("start", _BORDER), ("end", _BORDER), ("step", Whole(1, MAX_DIMENSION))),
        Axis.NAMED,
    ),
    "chunk": Op(
        "chunk.default",
        (ANY, ("chunks", Whole(1, MAX_TENSORS)), _DIM),
        Axis.NAMED,
        several=True,
    ),
    "split": Op(
        "split_with_sizes.default",
        (ANY, ("split_sizes", _PARTS), _DIM),
        Axis.NAMED,
        several=True,
    ),
    "cat": _joined("cat.default"),
    "stack": _joined("stack.default"),
    "pad": Op(
        "constant_pad_nd.default",
        (ANY, ("pad", Wholes(0, 1024, most=2 * MAX_RANK)), ("value", Number(-1e30, 1e30))),
        Axis.NAMED,
    ),
    # reductions
    "mean": _reduced("mean.dim"),
    "sum": _reduced("sum.dim_IntList"),
    "amax": _reduced("amax.default"),
    "max": Op("max.dim", (FLOATS, _DIM, ("keepdim", Flag())), Axis.NAMED, several=True),
    "vector_norm": Op(
        "linalg_vector_norm.default",
        (FLOATS, ("ord", Number(1.0, 16.0)), ("dim", DIMENSIONS), ("keepdim", Flag())),
        Axis.NAMED,
    ),
    "mean_all": _all("mean.default"),
    "sum_all": _all("sum.default"),
}
"""By the name that a definition uses."""
