"""A recipe's definition: what :mod:`chiron_stream.graph.format` reads and writes.

Plain values. An instance that came from :func:`~chiron_stream.graph.format.parse` keeps every rule
of the format; one that was built by hand keeps none until its bytes were parsed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Final, TypeAlias

from chiron_stream.graph.optimizers import Optimizer
from chiron_stream.graph.schedules import Schedule

VERSION: Final = 1
ITEM_BYTES: Final = {"f32": 4, "i64": 8, "bool": 1}
"""The element types, and how many bytes an element takes."""


@dataclass(frozen=True)
class Ref:
    """The value with this id: an input, a parameter, a buffer or an earlier node's result.

    :param item: which one, of an operation that has several results.
    """

    id: int
    item: int | None = None


@dataclass(frozen=True)
class Times:
    """A size: the rows of the batch, times ``factor``."""

    factor: int


Argument: TypeAlias = "Ref | Times | int | float | str | tuple[Argument, ...] | None"
"""An argument of a node; truth values are ``int`` too."""


@dataclass(frozen=True)
class Input:
    """A value that comes from the rows: ``[rows, *row_shape]``.

    :param columns: the schema's columns that it is made of.
    :param stacked: the columns are numbers, put beside each other on axis 1; else there is one
        column and it is taken as it is.
    """

    id: int
    dtype: str
    row_shape: tuple[int, ...]
    columns: tuple[str, ...]
    stacked: bool


@dataclass(frozen=True)
class Buffer:
    """A tensor of the model that no gradient changes."""

    id: int
    dtype: str
    shape: tuple[int, ...]

    @property
    def bytes(self) -> int:
        """Size in bytes."""
        return prod(self.shape) * ITEM_BYTES[self.dtype]


@dataclass(frozen=True)
class Parameter(Buffer):
    """A float32 tensor of the model; the optimizer changes it where it is ``trainable``."""

    trainable: bool


@dataclass(frozen=True)
class Node:
    """One operation of the table with its arguments; its result has the node's id."""

    id: int
    op: str
    arguments: tuple[Argument, ...]


@dataclass(frozen=True)
class Graph:
    """Nodes in order, and the id of the value that they are for."""

    nodes: tuple[Node, ...]
    output: int


@dataclass(frozen=True)
class Definition:
    """A whole recipe but its weights.

    :param train: rows and target to the loss.
    :param evaluate: rows to the predictions.
    :param batch_size: rows of a training batch.
    :param clip_norm: gradients whose norm, all together, is above it are scaled down to it.
    """

    inputs: tuple[Input, ...]
    target: Input
    parameters: tuple[Parameter, ...]
    buffers: tuple[Buffer, ...]
    train: Graph
    evaluate: Graph
    optimizer: Optimizer
    schedule: Schedule
    batch_size: int
    clip_norm: float | None = None

    @property
    def declared(self) -> tuple[Input | Buffer, ...]:
        """Everything that is no node, in the order of ids."""
        return (*self.inputs, self.target, *self.parameters, *self.buffers)

    @property
    def state_bytes(self) -> int:
        """Bytes of parameters and buffers together: the length of a provider's weights."""
        return sum(one.bytes for one in (*self.parameters, *self.buffers))


def references(argument: Argument) -> Iterator[Ref]:
    """Yield the references that an argument holds."""
    if isinstance(argument, Ref):
        yield argument
    elif isinstance(argument, tuple):
        for one in argument:
            yield from references(one)
