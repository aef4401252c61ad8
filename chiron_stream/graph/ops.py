"""The table of operations: a name of ours, the ATen overload, its arguments, what it may change.

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
from typing import Any, Final

from chiron_stream.graph.arguments import (
    DIMENSION,
    DIMENSIONS,
    MAX_DIMENSION,
    Choice,
    Flag,
    Kind,
    Number,
    Sizes,
    Tensor,
    TensorOrNumber,
    Tensors,
    Whole,
    Wholes,
)


@dataclass(frozen=True)
class Op:
    """A row of the table.

    :param overload: in ``torch.ops.aten``.
    :param arguments: ATen's names and our types, in ATen's order from the first on.
    :param fixed: arguments that recipes do not choose.
    :param keywords: arguments that ATen takes by name only.
    :param mode: the flag that means "training": only with it is the operation random or does it
        write, and then it stands in the train graph only.
    :param writes: arguments that it changes in place: buffers, or refused.
    """

    overload: str
    arguments: tuple[tuple[str, Kind], ...]
    fixed: Mapping[str, Any] = field(default_factory=dict)
    keywords: frozenset[str] = frozenset()
    mode: str | None = None
    writes: tuple[str, ...] = ()

    def position(self, name: str) -> int:
        """Return where the argument of this name stands."""
        return [one for one, _ in self.arguments].index(name)


_X: Final = ("self", Tensor())
_F: Final = ("self", Tensor(dtype="f32"))
_INPUT: Final = ("input", Tensor(dtype="f32"))
_OPTIONAL: Final = Tensor(optional=True, dtype="f32")
_UNIT: Final = Number(0.0, 1.0)
_EPSILON: Final = Number(1e-12, 1.0)
_SLOPE: Final = Number(-1e6, 1e6)
_SCALAR: Final = Number(-1e30, 1e30)
_REDUCTION: Final = ("reduction", Whole(0, 2))
_INDEX: Final = Whole(-MAX_DIMENSION, MAX_DIMENSION)


def _one(overload: str) -> Op:
    return Op(overload, (_F,))


def _two(overload: str) -> Op:
    return Op(overload, (_X, ("other", TensorOrNumber())))


def _loss(overload: str, *more: tuple[str, Kind]) -> Op:
    return Op(overload, (_F, ("target", Tensor(dtype="f32")), *more))


def _along(overload: str, *dimensions: str) -> Op:
    return Op(overload, (_X, *((name, DIMENSION) for name in dimensions)))


def _reduced(overload: str) -> Op:
    return Op(overload, (_F, ("dim", DIMENSIONS), ("keepdim", Flag())))


_BATCH_NORM: Final = Op(
    "batch_norm.default",
    (
        _INPUT,
        ("weight", _OPTIONAL),
        ("bias", _OPTIONAL),
        ("running_mean", _OPTIONAL),
        ("running_var", _OPTIONAL),
        ("training", Flag()),
        ("momentum", _UNIT),
        ("eps", _EPSILON),
    ),
    fixed={"cudnn_enabled": False},
    mode="training",
    writes=("running_mean", "running_var"),
)

_CROSS_ENTROPY: Final = Op(
    "cross_entropy_loss.default",
    (
        _F,
        ("target", Tensor()),
        ("weight", _OPTIONAL),
        _REDUCTION,
        ("ignore_index", _INDEX),
        ("label_smoothing", _UNIT),
    ),
)

OPS: Final[Mapping[str, Op]] = {
    # layers
    "linear": Op("linear.default", (_INPUT, ("weight", Tensor(dtype="f32")), ("bias", _OPTIONAL))),
    "embedding": Op(
        "embedding.default",
        (
            ("weight", Tensor(dtype="f32")),
            ("indices", Tensor(dtype="i64")),
            ("padding_idx", Whole(-1, MAX_DIMENSION)),
        ),
        fixed={"scale_grad_by_freq": False, "sparse": False},
    ),
    "batch_norm": _BATCH_NORM,
    "layer_norm": Op(
        "layer_norm.default",
        (
            _INPUT,
            ("normalized_shape", Wholes(1, MAX_DIMENSION)),
            ("weight", _OPTIONAL),
            ("bias", _OPTIONAL),
            ("eps", _EPSILON),
        ),
        fixed={"cudnn_enable": False},
    ),
    "dropout": Op("dropout.default", (_INPUT, ("p", _UNIT), ("train", Flag())), mode="train"),
    # activations
    "relu": _one("relu.default"),
    "gelu": Op(
        "gelu.default",
        (_F, ("approximate", Choice(("none", "tanh")))),
        keywords=frozenset({"approximate"}),
    ),
    "silu": _one("silu.default"),
    "sigmoid": _one("sigmoid.default"),
    "tanh": _one("tanh.default"),
    "softplus": Op("softplus.default", (_F, ("beta", Number(1e-3, 1e3)), ("threshold", _SLOPE))),
    "elu": Op("elu.default", (_F, ("alpha", _SLOPE))),
    "leaky_relu": Op("leaky_relu.default", (_F, ("negative_slope", _SLOPE))),
    "hardtanh": Op("hardtanh.default", (_F, ("min_val", _SLOPE), ("max_val", _SLOPE))),
    "softmax": Op("softmax.int", (_F, ("dim", DIMENSION))),
    "log_softmax": Op("log_softmax.int", (_F, ("dim", DIMENSION))),
    # element by element
    "add": _two("add.Tensor"),
    "sub": _two("sub.Tensor"),
    "mul": _two("mul.Tensor"),
    "div": _two("div.Tensor"),
    "rsub": Op("rsub.Scalar", (_F, ("other", _SCALAR))),
    "pow": Op("pow.Tensor_Scalar", (_F, ("exponent", Number(-16.0, 16.0)))),
    "neg": _one("neg.default"),
    "abs": _one("abs.default"),
    "exp": _one("exp.default"),
    "log": _one("log.default"),
    "sqrt": _one("sqrt.default"),
    "matmul": Op("matmul.default", (_F, ("other", Tensor(dtype="f32")))),
    # shapes
    "flatten": _along("flatten.using_ints", "start_dim", "end_dim"),
    "reshape": Op("reshape.default", (_X, ("shape", Sizes()))),
    "transpose": _along("transpose.int", "dim0", "dim1"),
    "permute": Op("permute.default", (_X, ("dims", DIMENSIONS))),
    "unsqueeze": _along("unsqueeze.default", "dim"),
    "squeeze": _along("squeeze.dim", "dim"),
    "select": Op("select.int", (_X, ("dim", DIMENSION), ("index", _INDEX))),
    "cat": Op("cat.default", (("tensors", Tensors()), ("dim", DIMENSION))),
    # reductions
    "mean": _reduced("mean.dim"),
    "sum": _reduced("sum.dim_IntList"),
    "mean_all": _one("mean.default"),
    "sum_all": _one("sum.default"),
    # losses
    "cross_entropy": _CROSS_ENTROPY,
    "nll_loss": Op(
        "nll_loss_nd.default",
        (
            _F,
            ("target", Tensor(dtype="i64")),
            ("weight", _OPTIONAL),
            _REDUCTION,
            ("ignore_index", _INDEX),
        ),
    ),
    "binary_cross_entropy_with_logits": _loss(
        "binary_cross_entropy_with_logits.default",
        ("weight", _OPTIONAL),
        ("pos_weight", _OPTIONAL),
        _REDUCTION,
    ),
    "mse_loss": _loss("mse_loss.default", _REDUCTION),
    "l1_loss": _loss("l1_loss.default", _REDUCTION),
    "smooth_l1_loss": _loss("smooth_l1_loss.default", _REDUCTION, ("beta", Number(0.0, 1e6))),
    "huber_loss": _loss("huber_loss.default", _REDUCTION, ("delta", Number(1e-12, 1e6))),
    # counters
    "increment": Op(
        "add_.Scalar", (("self", Tensor(dtype="i64")),), fixed={"other": 1}, writes=("self",)
    ),
}
"""By the name that a definition uses."""

INCREMENT: Final = "increment"
"""The one operation that changes a counter (``num_batches_tracked``)."""
