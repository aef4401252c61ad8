"""Rows of the table: layers, normalisation, convolution, pooling, attention."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from chiron_stream.graph.arguments import MAX_DIMENSION, Choice, Flag, Number, Tensor, Whole, Wholes
from chiron_stream.graph.operation import (
    EPSILON,
    FLOATS,
    INPUT,
    OPTIONAL,
    UNIT,
    WEIGHT,
    Axis,
    Op,
)

MAX_WINDOW: Final = 1024
"""Size, step, spacing and padding of a window, and results of an adaptive one, at most."""

_AFFINE: Final = (("weight", OPTIONAL), ("bias", OPTIONAL))
_SIZES: Final = Wholes(1, MAX_WINDOW, most=2)
_PADDING: Final = ("padding", Wholes(0, MAX_WINDOW, most=2))
_STRIDE: Final = ("stride", _SIZES)
_DILATION: Final = ("dilation", _SIZES)
_GROUPS: Final = ("groups", Whole(1, MAX_DIMENSION))
_KERNEL: Final = ("kernel_size", Wholes(1, MAX_WINDOW, most=2, least=1))
_OUTPUT: Final = ("output_size", Wholes(1, MAX_WINDOW, most=2, least=1))
_CEILING: Final = ("ceil_mode", Flag())
_SHAPE: Final = ("normalized_shape", Wholes(1, MAX_DIMENSION))

_BATCH_NORM: Final = Op(
    "batch_norm.default",
    (
        INPUT,
        *_AFFINE,
        ("running_mean", OPTIONAL),
        ("running_var", OPTIONAL),
        ("training", Flag()),
        ("momentum", UNIT),
        ("eps", EPSILON),
    ),
    Axis.MIXED,
    fixed={"cudnn_enabled": False},
    mode="training",
    writes=("running_mean", "running_var"),
)

_ATTENTION: Final = Op(
    "scaled_dot_product_attention.default",
    (
        ("query", Tensor(dtype="f32")),
        ("key", Tensor(dtype="f32")),
        ("value", Tensor(dtype="f32")),
        ("attn_mask", Tensor(optional=True)),
        ("dropout_p", UNIT),
        ("is_causal", Flag()),
        ("scale", Number(1e-6, 1e6, optional=True)),
    ),
    Axis.INNER,
    fixed={"enable_gqa": False},
    keywords=frozenset({"scale"}),
    mode="dropout_p",
)


def _convolution(overload: str) -> Op:
    arguments = (INPUT, WEIGHT, ("bias", OPTIONAL), _STRIDE, _PADDING, _DILATION, _GROUPS)
    return Op(overload, arguments, Axis.INNER)


def _padded_convolution(overload: str) -> Op:
    padding = ("padding", Choice(("same", "valid")))
    arguments = (INPUT, WEIGHT, ("bias", OPTIONAL), _STRIDE, padding, _DILATION, _GROUPS)
    return Op(overload, arguments, Axis.INNER)


def _max_pool(overload: str) -> Op:
    arguments = (FLOATS, _KERNEL, _STRIDE, _PADDING, _DILATION, _CEILING)
    return Op(overload, arguments, Axis.INNER)


def _average_pool(overload: str) -> Op:
    arguments = (FLOATS, _KERNEL, _STRIDE, _PADDING, _CEILING, ("count_include_pad", Flag()))
    return Op(overload, arguments, Axis.INNER)


def _adaptive_pool(overload: str, *, several: bool = False) -> Op:
    return Op(overload, (FLOATS, _OUTPUT), Axis.INNER, several=several)


def _dropout(overload: str) -> Op:
    return Op(overload, (INPUT, ("p", UNIT), ("train", Flag())), Axis.EACH, mode="train")


LAYERS: Final[Mapping[str, Op]] = {
    "linear": Op("linear.default", (INPUT, WEIGHT, ("bias", OPTIONAL)), Axis.INNER),
    "embedding": Op(
        "embedding.default",
        (WEIGHT, ("indices", Tensor(dtype="i64")), ("padding_idx", Whole(-1, MAX_DIMENSION))),
        Axis.INNER,
        fixed={"scale_grad_by_freq": False, "sparse": False},
    ),
    "dropout": _dropout("dropout.default"),
    "feature_dropout": _dropout("feature_dropout.default"),
    "batch_norm": _BATCH_NORM,
    "layer_norm": Op(
        "layer_norm.default",
        (INPUT, _SHAPE, *_AFFINE, ("eps", EPSILON)),
        Axis.INNER,
        fixed={"cudnn_enable": False},
    ),
    "group_norm": Op(
        "group_norm.default",
        (INPUT, ("num_groups", Whole(1, MAX_DIMENSION)), *_AFFINE, ("eps", EPSILON)),
        Axis.INNER,
        fixed={"cudnn_enabled": False},
    ),
    "rms_norm": Op(
        "rms_norm.default",
        (INPUT, _SHAPE, ("weight", OPTIONAL), ("eps", Number(1e-12, 1.0, optional=True))),
        Axis.INNER,
    ),
    "conv1d": _convolution("conv1d.default"),
    "conv2d": _convolution("conv2d.default"),
    "conv1d_padded": _padded_convolution("conv1d.padding"),
    "conv2d_padded": _padded_convolution("conv2d.padding"),
    "max_pool1d": _max_pool("max_pool1d.default"),
    "max_pool2d": _max_pool("max_pool2d.default"),
    "avg_pool1d": _average_pool("avg_pool1d.default"),
    "avg_pool2d": _average_pool("avg_pool2d.default"),
    "adaptive_avg_pool1d": _adaptive_pool("adaptive_avg_pool1d.default"),
    "adaptive_avg_pool2d": _adaptive_pool("adaptive_avg_pool2d.default"),
    "adaptive_max_pool1d": _adaptive_pool("adaptive_max_pool1d.default", several=True),
    "adaptive_max_pool2d": _adaptive_pool("adaptive_max_pool2d.default", several=True),
    "attention": _ATTENTION,
}
"""By the name that a definition uses."""
