"""The check of a recipe: parse, then runs without data.

:func:`check` is where untrusted bytes become a :class:`~chiron_stream.graph.checked.CheckedRecipe`.
The train graph runs on the meta device, forward and backward, at two rows, at ``batch_size`` and
at one more (a remainder of one row joins the batch before); the eval graph at two rows, at the
predictors' batch and at one more. That settles every shape and element type, bounds the memory,
and shows that the loss is one number and that a prediction has as many rows as the batch. At the
predictors' batch each row is followed through the eval graph, so that no prediction comes from a
neighbour (:mod:`chiron_stream.graph.per_example`).

What is not checked: how long it runs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final, NoReturn

import torch

from chiron_stream.errors import RecipeRefused
from chiron_stream.graph.arguments import DIMENSION, DIMENSIONS, MAX_RANK, Tensor
from chiron_stream.graph.checked import CheckedRecipe, Limits
from chiron_stream.graph.definition import Definition, Input, Node, Parameter, Ref, references
from chiron_stream.graph.format import parse
from chiron_stream.graph.interpreter import (
    DTYPES,
    TORCH_REFUSES,
    Program,
    Value,
    tensors_of,
    value_of,
)
from chiron_stream.graph.meter import Meter
from chiron_stream.graph.ops import OPS
from chiron_stream.graph.per_example import RowTracker
from chiron_stream.graph.rules import counted, where, written_by

SMALLEST_BATCH: Final = 2


def check(definition: bytes, limits: Limits | None = None) -> CheckedRecipe:
    """Return the recipe that ``definition`` holds.

    :param definition: untrusted bytes.
    :param limits: of the job's policy, or the defaults.
    :raises RecipeRefused: with the code of the rule and the place.
    """
    limits = limits or Limits()
    parsed = parse(definition)
    _check_sizes(parsed, limits)
    trained, train_bytes = _check_train(parsed, limits)
    output_shape, eval_bytes = _check_eval(parsed, limits)
    counters = counted(parsed.train)
    written = {number for node in parsed.train.nodes for number in written_by(node)}
    return CheckedRecipe(
        definition=parsed,
        digest=hashlib.sha256(definition).digest(),
        limits=limits,
        trained=trained,
        counters=tuple(sorted(counters)),
        statistics=tuple(sorted(written - counters)),
        train_bytes=train_bytes,
        eval_bytes=eval_bytes,
        output_shape=output_shape,
    )


def program(definition: Definition, *, training: bool) -> Program:
    """Return one of the two graphs, ready to run."""
    graph = definition.train if training else definition.evaluate
    return Program(graph, len(definition.declared), training=training)


def _check_sizes(parsed: Definition, limits: Limits) -> None:
    if parsed.batch_size > limits.max_batch:
        expected = f"at most {limits.max_batch} rows"
        _refuse("$.batch_size is too large", "GRAPH_LIMIT", expected, f"{parsed.batch_size}")
    if parsed.state_bytes > limits.max_parameter_bytes:
        expected = f"at most {limits.max_parameter_bytes} bytes"
        place = "$.parameters and $.buffers are too large"
        _refuse(place, "GRAPH_MEMORY", expected, f"{parsed.state_bytes}")


def _check_train(parsed: Definition, limits: Limits) -> tuple[tuple[int, ...], int]:
    """Return the ids of the parameters that get a gradient, and the bytes of one step."""
    ready = program(parsed, training=True)
    for rows in (SMALLEST_BATCH, parsed.batch_size, parsed.batch_size + 1):
        values = _declare(parsed, rows)
        with Meter(limits.max_activation_bytes, "train graph") as meter, torch.enable_grad():
            loss = ready.run(values, rows, partial(_inspect, training=True))
            if loss.shape != () or loss.dtype != torch.float32 or not loss.requires_grad:
                got = f"{loss.dtype} of shape {list(loss.shape)}"
                expected = "one float32 number that depends on a trainable parameter"
                _refuse("$.train.output is no loss", "GRAPH_SHAPE", expected, got)
            trained = _gradients(parsed, values, loss)
    return trained, meter.bytes


def _gradients(
    parsed: Definition, values: Mapping[int, torch.Tensor], loss: torch.Tensor
) -> tuple[int, ...]:
    wanted = [one.id for one in parsed.parameters if one.trainable]
    try:
        found: Sequence[torch.Tensor | None] = torch.autograd.grad(
            loss, [values[one] for one in wanted], allow_unused=True
        )
    except TORCH_REFUSES as error:
        reason = str(error).partition("\n")[0][:200]
        raise RecipeRefused(
            f"train graph, backward, does not fit: {reason}", code="GRAPH_SHAPE"
        ) from None
    pairs = zip(wanted, found, strict=True)
    return tuple(number for number, gradient in pairs if gradient is not None)


def _check_eval(parsed: Definition, limits: Limits) -> tuple[tuple[int, ...], int]:
    """Return the shape of one row's prediction, and the bytes of one run."""
    ready = program(parsed, training=False)
    shapes = set()
    for rows in (SMALLEST_BATCH, limits.prediction_batch, limits.prediction_batch + 1):
        values = _declare(parsed, rows)
        tracker = RowTracker(parsed, rows) if rows == limits.prediction_batch else None
        with Meter(limits.max_activation_bytes, "eval graph") as meter, torch.no_grad():
            made = ready.run(values, rows, partial(_inspect_eval, tracker))
        if made.dim() == 0 or made.shape[0] != rows or made.dtype != torch.float32:
            got = f"{made.dtype} of shape {list(made.shape)} for {rows} rows"
            expected = "float32 with one entry for each row"
            _refuse("$.eval.output is no prediction", "GRAPH_SHAPE", expected, got)
        if tracker is not None:
            tracker.check_output()
        shapes.add(tuple(made.shape[1:]))
    if len(shapes) != 1:
        expected = "one shape for each row, whatever the batch"
        _refuse("$.eval.output is no prediction", "GRAPH_SHAPE", expected, f"{sorted(shapes)}")
    return shapes.pop(), meter.bytes


def _inspect_eval(tracker: RowTracker | None, node: Node, values: Mapping[int, Value]) -> None:
    _inspect(node, values, training=False)
    if tracker is not None:
        tracker.follow(node, values)


def _declare(parsed: Definition, rows: int) -> dict[int, torch.Tensor]:
    values = {}
    for one in parsed.declared:
        shape = (rows, *one.row_shape) if isinstance(one, Input) else one.shape
        grad = isinstance(one, Parameter) and one.trainable
        dtype = DTYPES[one.dtype]
        values[one.id] = torch.empty(shape, dtype=dtype, device="meta", requires_grad=grad)
    return values


def _inspect(node: Node, values: Mapping[int, Value], *, training: bool) -> None:
    """Check the types of a node's tensors and of its results."""
    place = where(node, training=training)
    for (name, kind), argument in zip(OPS[node.op].arguments, node.arguments, strict=True):
        dtype = kind.dtype if isinstance(kind, Tensor) else None
        if dtype is not None and isinstance(argument, Ref):
            found = value_of(argument, values).dtype
            if found != DTYPES[dtype]:
                _refuse(f"{place}: {name}", "GRAPH_SHAPE", dtype, f"{found}")
    _check_dimensions(node, values, place)
    for made in tensors_of(values[node.id]):
        if made.dtype not in DTYPES.values() or made.dim() > MAX_RANK:
            expected = f"{', '.join(DTYPES)} of at most {MAX_RANK} dimensions"
            _refuse(f"{place}: result", "GRAPH_SHAPE", expected, f"{made.dtype}, {made.dim()}")


def _check_dimensions(node: Node, values: Mapping[int, Value], place: str) -> None:
    """Check dimensions against ranks: not every shape function of torch's does."""
    tensors = [value_of(one, values) for one in references(node.arguments)]
    rank = max(1, *(one.dim() for one in (*tensors, *tensors_of(values[node.id]))))
    for (name, kind), argument in zip(OPS[node.op].arguments, node.arguments, strict=True):
        found = argument if isinstance(argument, tuple) else (argument,)
        outside = [n for n in found if isinstance(n, int) and not -rank <= n < rank]
        if kind in (DIMENSION, DIMENSIONS) and outside:
            _refuse(f"{place}: {name}", "GRAPH_SHAPE", f"a dimension of {rank}", f"{outside}")


def _refuse(message: str, code: str, expected: str, got: str) -> NoReturn:
    raise RecipeRefused(message, code=code, expected=expected, got=got)
