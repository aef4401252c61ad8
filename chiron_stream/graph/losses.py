"""Rows of the table: losses, and the counter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from chiron_stream.graph.arguments import Kind, Number, Tensor, Whole
from chiron_stream.graph.operation import FLOATS, INDEX, OPTIONAL, UNIT, Axis, Op

INCREMENT: Final = "increment"
"""The one operation that changes a counter (``num_batches_tracked``)."""

_REDUCTION: Final = ("reduction", Whole(0, 2))
_WEIGHT: Final = ("weight", OPTIONAL)


def _loss(overload: str, *more: tuple[str, Kind]) -> Op:
    return Op(overload, (FLOATS, ("target", Tensor(dtype="f32")), *more), Axis.MIXED)


LOSSES: Final[Mapping[str, Op]] = {
    "cross_entropy": Op(
        "cross_entropy_loss.default",
        (
            FLOATS,
            ("target", Tensor()),
            _WEIGHT,
            _REDUCTION,
            ("ignore_index", INDEX),
            ("label_smoothing", UNIT),
        ),
        Axis.MIXED,
    ),
    "nll_loss": Op(
        "nll_loss_nd.default",
        (FLOATS, ("target", Tensor(dtype="i64")), _WEIGHT, _REDUCTION, ("ignore_index", INDEX)),
        Axis.MIXED,
    ),
    "binary_cross_entropy": _loss("binary_cross_entropy.default", _WEIGHT, _REDUCTION),
    "binary_cross_entropy_with_logits": _loss(
        "binary_cross_entropy_with_logits.default",
        _WEIGHT,
        ("pos_weight", OPTIONAL),
        _REDUCTION,
    ),
    "mse_loss": _loss("mse_loss.default", _REDUCTION),
    "l1_loss": _loss("l1_loss.default", _REDUCTION),
    "smooth_l1_loss": _loss("smooth_l1_loss.default", _REDUCTION, ("beta", Number(0.0, 1e6))),
    "huber_loss": _loss("huber_loss.default", _REDUCTION, ("delta", Number(1e-12, 1e6))),
    INCREMENT: Op(
        "add_.Scalar",
        (("self", Tensor(dtype="i64")),),
        Axis.MIXED,
        fixed={"other": 1},
        writes=("self",),
    ),
}
"""By the name that a definition uses."""
