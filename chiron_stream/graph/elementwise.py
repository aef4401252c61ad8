"""Rows of the table: activations, arithmetic, comparisons, products of matrices."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from chiron_stream.graph.arguments import DIMENSION, Choice, Number, Tensor, TensorOrNumber
from chiron_stream.graph.operation import ANY, FLOATS, SCALAR, SLOPE, Axis, Op, one

_BOUND: Final = Number(-1e30, 1e30, optional=True)
_FLOAT: Final = Tensor(dtype="f32")


def _two(overload: str) -> Op:
    return Op(overload, (ANY, ("other", TensorOrNumber())), Axis.EACH)


def _tensors(overload: str) -> Op:
    return Op(overload, (ANY, ("other", Tensor())), Axis.EACH)


def _compared(overload: str) -> Op:
    return Op(overload, (ANY, ("other", SCALAR)), Axis.EACH)


def _with(overload: str, *numbers: tuple[str, Number]) -> Op:
    return Op(overload, (FLOATS, *numbers), Axis.EACH)


ELEMENTWISE: Final[Mapping[str, Op]] = {
    # activations
    "relu": one("relu.default"),
    "gelu": Op(
        "gelu.default",
        (FLOATS, ("approximate", Choice(("none", "tanh")))),
        Axis.EACH,
        keywords=frozenset({"approximate"}),
    ),
    "silu": one("silu.default"),
    "selu": one("selu.default"),
    "sigmoid": one("sigmoid.default"),
    "log_sigmoid": one("log_sigmoid.default"),
    "tanh": one("tanh.default"),
    "softplus": _with("softplus.default", ("beta", Number(1e-3, 1e3)), ("threshold", SLOPE)),
    "elu": _with("elu.default", ("alpha", SLOPE)),
    "leaky_relu": _with("leaky_relu.default", ("negative_slope", SLOPE)),
    "hardtanh": _with("hardtanh.default", ("min_val", SLOPE), ("max_val", SLOPE)),
    "hardsigmoid": one("hardsigmoid.default"),
    "hardswish": one("hardswish.default"),
    "prelu": Op("prelu.default", (FLOATS, ("weight", _FLOAT)), Axis.EACH),
    "softmax": Op("softmax.int", (FLOATS, ("dim", DIMENSION)), Axis.NAMED),
    "log_softmax": Op("log_softmax.int", (FLOATS, ("dim", DIMENSION)), Axis.NAMED),
    # arithmetic
    "add": _two("add.Tensor"),
    "sub": _two("sub.Tensor"),
    "mul": _two("mul.Tensor"),
    "div": _two("div.Tensor"),
    "rsub": _with("rsub.Scalar", ("other", SCALAR)),
    "pow": _with("pow.Tensor_Scalar", ("exponent", Number(-16.0, 16.0))),
    "neg": one("neg.default"),
    "abs": one("abs.default"),
    "exp": one("exp.default"),
    "log": one("log.default"),
    "sqrt": one("sqrt.default"),
    "rsqrt": one("rsqrt.default"),
    "clamp": _with("clamp.default", ("min", _BOUND), ("max", _BOUND)),
    "clamp_min": _with("clamp_min.default", ("min", SCALAR)),
    "maximum": _tensors("maximum.default"),
    "minimum": _tensors("minimum.default"),
    "float": Op("to.dtype", (ANY,), Axis.EACH, fixed={"dtype": "f32"}),
    # comparisons, and what masks are for
    "eq": _compared("eq.Scalar"),
    "ne": _compared("ne.Scalar"),
    "lt": _compared("lt.Scalar"),
    "le": _compared("le.Scalar"),
    "gt": _compared("gt.Scalar"),
    "ge": _compared("ge.Scalar"),
    "logical_not": Op("logical_not.default", (ANY,), Axis.EACH),
    "where": Op(
        "where.self",
        (("condition", Tensor(dtype="bool")), FLOATS, ("other", _FLOAT)),
        Axis.EACH,
    ),
    "masked_fill": Op(
        "masked_fill.Scalar",
        (FLOATS, ("mask", Tensor(dtype="bool")), ("value", SCALAR)),
        Axis.EACH,
    ),
    # products of matrices
    "matmul": Op("matmul.default", (FLOATS, ("other", _FLOAT)), Axis.MIXED),
    "bmm": Op("bmm.default", (FLOATS, ("mat2", _FLOAT)), Axis.INNER),
    "baddbmm": Op("baddbmm.default", (FLOATS, ("batch1", _FLOAT), ("batch2", _FLOAT)), Axis.INNER),
}
"""By the name that a definition uses."""
