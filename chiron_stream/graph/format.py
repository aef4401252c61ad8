"""The definition's format: one place that writes it, and the strict way back.

``docs/graph-format.md`` describes it for people. :func:`parse` takes untrusted bytes and loads no
torch. What it returns keeps these rules: ids count up from 0 through inputs, target, parameters
and buffers, and on through the nodes of each graph; a reference names something earlier; every
operation is in the table, its arguments of their types; only buffers are written, and those in the
train graph only; the eval graph draws no randomness and does not see the target. Shapes, types of
elements and memory are for :mod:`chiron_stream.graph.checker`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from math import prod
from typing import Any, Final, TypeVar

from chiron_stream.graph.arguments import MAX_DIMENSION, MAX_ID, MAX_RANK, OP, written
from chiron_stream.graph.definition import (
    VERSION,
    Buffer,
    Definition,
    Graph,
    Input,
    Node,
    Parameter,
)
from chiron_stream.graph.ops import OPS
from chiron_stream.graph.optimizers import OPTIMIZERS
from chiron_stream.graph.rules import check_graph
from chiron_stream.graph.schedules import SCHEDULES
from chiron_stream.graph.settings import read_setting
from chiron_stream.graph.strict_json import LIMIT, Place, read

MAX_NODES: Final = 4096
"""Nodes of a graph, at most."""

MAX_TENSORS: Final = 2048
"""Inputs, parameters and buffers each, at most."""

MAX_COLUMNS: Final = 4096
"""Columns of one input, at most."""

MAX_NAME: Final = 128
"""Characters of a column's name, at most."""

MAX_ELEMENTS: Final = (1 << 31) - 1
"""Elements of one tensor, at most: kernels index with 32 bits in places."""

MAX_BATCH: Final = 1 << 16
"""Rows of a batch, at most."""

REFERENCE: Final = "GRAPH_REFERENCE"

_KEYS: Final = (
    *("version", "batch_size", "inputs", "target", "parameters", "buffers"),
    *("train", "eval", "optimizer", "schedule", "clip_norm"),
)

T = TypeVar("T")


def parse(data: bytes) -> Definition:
    """Return the definition in ``data``; its shapes and memory are still unchecked.

    :param data: untrusted bytes.
    :raises RecipeRefused: with the rule's code and the place, for anything else.
    """
    parts = dict(zip(_KEYS, read(data).fields(*_KEYS), strict=True))
    parts["version"].whole(VERSION, VERSION)
    count = _Counter()
    inputs = _each(parts["inputs"], lambda one: _input(one, count))
    target = _input(parts["target"], count)
    parameters = _each(parts["parameters"], lambda one: _parameter(one, count))
    buffers = _each(parts["buffers"], lambda one: _buffer(one, count))
    definition = Definition(
        inputs,
        target,
        parameters,
        buffers,
        _graph(parts["train"], count.next),
        _graph(parts["eval"], count.next),
        read_setting(parts["optimizer"], OPTIMIZERS),
        read_setting(parts["schedule"], SCHEDULES),
        parts["batch_size"].whole(2, MAX_BATCH, LIMIT),
        _clip_norm(parts["clip_norm"]),
    )
    check_graph(definition, training=True)
    check_graph(definition, training=False)
    return definition


def serialize(definition: Definition) -> bytes:
    """Return the bytes that :func:`parse` reads back as an equal definition."""
    table = {
        "version": VERSION,
        "batch_size": definition.batch_size,
        "inputs": [_input_json(one) for one in definition.inputs],
        "target": _input_json(definition.target),
        "parameters": [
            {**_tensor_json(one), "trainable": one.trainable} for one in definition.parameters
        ],
        "buffers": [_tensor_json(one) for one in definition.buffers],
        "train": _graph_json(definition.train),
        "eval": _graph_json(definition.evaluate),
        "optimizer": definition.optimizer.to_json(),
        "schedule": definition.schedule.to_json(),
        "clip_norm": definition.clip_norm,
    }
    return json.dumps(table, separators=(",", ":"), allow_nan=False).encode()


class _Counter:
    """Ids count up without a gap; this is the next one."""

    def __init__(self) -> None:
        self.next = 0

    def take(self, place: Place) -> int:
        """Return the id at ``place``, which must be the next."""
        found = place.whole(0, MAX_ID)
        if found != self.next:
            place.refuse(f"{self.next}, the next id", REFERENCE)
        self.next += 1
        return found


def _each(place: Place, read_one: Callable[[Place], T]) -> tuple[T, ...]:
    return tuple(read_one(one) for one in place.items(MAX_TENSORS))


def _clip_norm(place: Place) -> float | None:
    return None if place.value is None else place.number(1e-6, 1e6)


def _input(place: Place, count: _Counter) -> Input:
    number, dtype, shape, columns = place.fields("id", "dtype", "shape", "columns")
    sizes = shape.items(MAX_RANK)
    if not sizes or sizes[0].value != "B":
        shape.refuse('a shape whose first size is "B"')
    stacked = type(columns.value) is list
    names = columns.items(MAX_COLUMNS) if stacked else [columns]
    if not names:
        columns.refuse("the name of a column, or a list of some")
    row_shape = tuple(one.whole(1, MAX_DIMENSION, LIMIT) for one in sizes[1:])
    if stacked and row_shape != (len(names),):
        shape.refuse(f'["B", {len(names)}], as there are columns', "GRAPH_BINDING")
    _check_elements(shape, row_shape)
    return Input(
        count.take(number),
        dtype.choice(("f32", "i64")),
        row_shape,
        tuple(one.text(MAX_NAME) for one in names),
        stacked,
    )


def _buffer(place: Place, count: _Counter) -> Buffer:
    number, dtype, shape = place.fields("id", "dtype", "shape")
    return Buffer(count.take(number), dtype.choice(("f32", "i64", "bool")), _shape(shape))


def _parameter(place: Place, count: _Counter) -> Parameter:
    number, dtype, shape, trainable = place.fields("id", "dtype", "shape", "trainable")
    return Parameter(count.take(number), dtype.choice(("f32",)), _shape(shape), trainable.flag())


def _shape(place: Place) -> tuple[int, ...]:
    sizes = tuple(one.whole(1, MAX_DIMENSION, LIMIT) for one in place.items(MAX_RANK))
    _check_elements(place, sizes)
    return sizes


def _check_elements(place: Place, sizes: tuple[int, ...]) -> None:
    if prod(sizes) > MAX_ELEMENTS:
        place.refuse(f"at most {MAX_ELEMENTS} elements", LIMIT)


def _graph(place: Place, first: int) -> Graph:
    nodes, output = place.fields("nodes", "output")
    count = _Counter()
    count.next = first
    read_nodes = tuple(_node(one, count) for one in nodes.items(MAX_NODES))
    return Graph(read_nodes, output.whole(0, MAX_ID))


def _node(place: Place, count: _Counter) -> Node:
    parts = place.items(3)
    if len(parts) != 3:
        place.refuse("an id, an operation and a list of arguments")
    number, name, arguments = parts
    if type(name.value) is not str or name.value not in OPS:
        name.refuse("an operation of the table", OP)
    kinds = OPS[name.value].arguments
    values = arguments.items(len(kinds))
    if len(values) != len(kinds):
        arguments.refuse(f"{len(kinds)} arguments for {name.value}", OP)
    pairs = zip(kinds, values, strict=True)
    found = tuple(kind.read(value) for (_, kind), value in pairs)
    return Node(count.take(number), name.value, found)


def _input_json(one: Input) -> dict[str, Any]:
    columns = list(one.columns) if one.stacked else one.columns[0]
    shape = ["B", *one.row_shape]
    return {"id": one.id, "dtype": one.dtype, "shape": shape, "columns": columns}


def _tensor_json(one: Buffer) -> dict[str, Any]:
    return {"id": one.id, "dtype": one.dtype, "shape": list(one.shape)}


def _graph_json(graph: Graph) -> dict[str, Any]:
    nodes = [[one.id, one.op, [written(arg) for arg in one.arguments]] for one in graph.nodes]
    return {"nodes": nodes, "output": graph.output}
