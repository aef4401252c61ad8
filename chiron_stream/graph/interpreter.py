"""Runs a graph, node by node, through the table of operations; autograd does the rest.

A run allocates every value anew and drops it after its last use. On the meta device the same run
has shapes without data: that is how :mod:`chiron_stream.graph.checker` checks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NoReturn, TypeAlias, cast

import torch

from chiron_stream.errors import RecipeRefused
from chiron_stream.graph.definition import Argument, Graph, Node, Ref, Times, references
from chiron_stream.graph.ops import OPS
from chiron_stream.graph.rules import where

TORCH_REFUSES: Final = (
    *(RuntimeError, ValueError, TypeError, IndexError, NotImplementedError),
    *(AssertionError, ArithmeticError),
)
"""What torch raises for arguments that do not fit; the last two from its own Python, on meta."""

DTYPES: Final = {"f32": torch.float32, "i64": torch.int64, "bool": torch.bool}
"""Element types by their names in a definition."""

Value: TypeAlias = "torch.Tensor | Sequence[torch.Tensor]"
"""What a node makes: a tensor, or the list of an operation with several results."""

Inspect = Callable[[Node, Mapping[int, Value]], None]
"""Called after each node, with the values that are alive."""


@dataclass(frozen=True)
class _Step:
    node: Node
    call: Callable[..., Value]
    positional: tuple[Argument, ...]
    named: Mapping[str, Any]
    dead: tuple[int, ...]


class Program:
    """A graph, ready to run.

    :param graph: of a definition that :func:`~chiron_stream.graph.format.parse` returned.
    :param first: the id of its first node; values below it belong to the caller and stay.
    :param training: which graph it is, for messages.
    """

    def __init__(self, graph: Graph, first: int, *, training: bool) -> None:
        self.output = graph.output
        self.training = training
        dead = _last_uses(graph, first)
        self._steps = [_step(node, dead.get(node.id, ())) for node in graph.nodes]

    def run(
        self,
        declared: Mapping[int, torch.Tensor],
        rows: int,
        inspect: Inspect | None = None,
    ) -> torch.Tensor:
        """Return the output's value.

        :param declared: by id: inputs and target ``[rows, ...]``, parameters, buffers. Buffers
            change in place as the graph says; nothing else does.
        :raises RecipeRefused: GRAPH_SHAPE on the meta device, with torch's reason; GRAPH_RUN on
            data, without it: torch's texts hold values of rows.
        """
        values: dict[int, Value] = dict(declared)
        for step in self._steps:
            named = step.named
            try:
                arguments = [_resolve(one, values, rows) for one in step.positional]
                values[step.node.id] = step.call(*arguments, **named)
            except TORCH_REFUSES as error:
                self._refuse(step.node, values, error)
            if inspect is not None:
                inspect(step.node, values)
            for number in step.dead:
                del values[number]
        return cast("torch.Tensor", values[self.output])

    def _refuse(self, node: Node, values: Mapping[int, Value], error: Exception) -> NoReturn:
        place = where(node, training=self.training)
        tensors = [one for ref in references(node.arguments) for one in tensors_of(values[ref.id])]
        got = ", ".join(f"{_dtype(one)}{list(one.shape)}" for one in tensors)
        if any(not one.is_meta for one in tensors):
            message = f"{place} does not run on these rows"
            raise RecipeRefused(message, code="GRAPH_RUN", got=got) from None
        reason = str(error).strip().partition("\n")[0][:200]
        raise RecipeRefused(
            f"{place} does not fit: {reason}", code="GRAPH_SHAPE", got=got
        ) from None


def _step(node: Node, dead: tuple[int, ...]) -> _Step:
    row = OPS[node.op]
    name, _, overload = row.overload.partition(".")
    call = getattr(getattr(torch.ops.aten, name), overload)
    pairs = list(zip((name for name, _ in row.arguments), node.arguments, strict=True))
    positional = tuple(value for name, value in pairs if name not in row.keywords)
    named = {name: value for name, value in pairs if name in row.keywords}
    fixed = {name: DTYPES[value] if name == "dtype" else value for name, value in row.fixed.items()}
    return _Step(node, call, positional, {**named, **fixed}, dead)


def tensors_of(value: Value) -> Sequence[torch.Tensor]:
    """Return the tensors of a value: itself, or its items."""
    return (value,) if isinstance(value, torch.Tensor) else value


def value_of(reference: Ref, values: Mapping[int, Value]) -> torch.Tensor:
    """Return the tensor that a reference names.

    :raises IndexError: the list has no such item.
    """
    found = values[reference.id]
    return found if isinstance(found, torch.Tensor) else found[cast("int", reference.item)]


def _last_uses(graph: Graph, first: int) -> dict[int, tuple[int, ...]]:
    """Return, for each node, the values that nothing behind it needs."""
    last = {node.id: node.id for node in graph.nodes}
    for node in graph.nodes:
        last.update({one.id: node.id for one in references(node.arguments)})
    dead: dict[int, tuple[int, ...]] = {}
    for value, node_id in last.items():
        if value >= first and value != graph.output:
            dead[node_id] = (*dead.get(node_id, ()), value)
    return dead


def _resolve(argument: Argument, values: Mapping[int, Value], rows: int) -> Any:
    if isinstance(argument, Ref):
        return value_of(argument, values)
    if isinstance(argument, tuple):
        return [_resolve(one, values, rows) for one in argument]
    if isinstance(argument, Times):
        return argument.factor * rows
    return argument


def _dtype(tensor: torch.Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
