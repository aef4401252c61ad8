"""Small recipes written by hand, and rows for them."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import numpy as np

from chiron_stream.graph.columns import Array

COLUMNS, HIDDEN, CLASSES = 3, 4, 2
Table = dict[str, Any]


MLP: Table = {
    "version": 1,
    "batch_size": 8,
    "inputs": [{"id": 0, "dtype": "f32", "shape": ["B", COLUMNS], "columns": ["a", "b", "c"]}],
    "target": {"id": 1, "dtype": "i64", "shape": ["B"], "columns": "y"},
    "parameters": [
        {"id": 2, "dtype": "f32", "shape": [HIDDEN, COLUMNS], "trainable": True},
        {"id": 3, "dtype": "f32", "shape": [HIDDEN], "trainable": True},
        {"id": 4, "dtype": "f32", "shape": [CLASSES, HIDDEN], "trainable": True},
        {"id": 5, "dtype": "f32", "shape": [CLASSES], "trainable": True},
    ],
    "buffers": [
        {"id": 6, "dtype": "f32", "shape": [HIDDEN]},
        {"id": 7, "dtype": "f32", "shape": [HIDDEN]},
        {"id": 8, "dtype": "i64", "shape": []},
    ],
    "train": {
        "nodes": [
            [9, "linear", [{"ref": 0}, {"ref": 2}, {"ref": 3}]],
            [10, "increment", [{"ref": 8}]],
            [11, "batch_norm", [{"ref": 9}, None, None, {"ref": 6}, {"ref": 7}, True, 0.1, 1e-5]],
            [12, "relu", [{"ref": 11}]],
            [13, "dropout", [{"ref": 12}, 0.25, True]],
            [14, "linear", [{"ref": 13}, {"ref": 4}, {"ref": 5}]],
            [15, "cross_entropy", [{"ref": 14}, {"ref": 1}, None, 1, -100, 0.0]],
        ],
        "output": 15,
    },
    "eval": {
        "nodes": [
            [9, "linear", [{"ref": 0}, {"ref": 2}, {"ref": 3}]],
            [10, "batch_norm", [{"ref": 9}, None, None, {"ref": 6}, {"ref": 7}, False, 0.1, 1e-5]],
            [11, "relu", [{"ref": 10}]],
            [12, "linear", [{"ref": 11}, {"ref": 4}, {"ref": 5}]],
        ],
        "output": 12,
    },
    "optimizer": {
        "kind": "sgd",
        "lr": 0.1,
        "momentum": 0.9,
        "dampening": 0.0,
        "weight_decay": 0.0,
        "nesterov": False,
    },
    "schedule": {"kind": "constant"},
    "clip_norm": None,
}
"""A valid definition: linear, batch norm, relu, dropout, linear, cross entropy."""


def encoded(table: Table) -> bytes:
    return json.dumps(table).encode()


def changed(change: Callable[[Table], object]) -> bytes:
    """Return the bytes of the MLP after ``change`` has changed it in place."""
    table = copy.deepcopy(MLP)
    change(table)
    return encoded(table)


def with_node(position: int, op: object, arguments: object, graph: str = "train") -> bytes:
    """Return the bytes of the MLP with another operation at one place."""
    return changed(lambda table: table[graph]["nodes"][position].__setitem__(
        slice(1, 3), [op, arguments]
    ))  # fmt: skip


def bare(
    nodes: list[Any],
    *,
    shape: tuple[int, ...] = (COLUMNS,),
    parameters: tuple[tuple[int, ...], ...] = ((),),
    buffers: tuple[tuple[str, tuple[int, ...]], ...] = (),
) -> bytes:
    """Return a definition whose train graph is ``nodes`` and then one number made of the last.

    Ids: 0 the rows, a tensor column "x"; 1 the target; 2 and up parameters, then buffers, then
    nodes. The first parameter is a scalar that multiplies the loss, so that it is trained.
    """
    first = 2 + len(parameters) + len(buffers)
    last = first + len(nodes)
    finish = [
        [last, "sum_all", [{"ref": last - 1}]],
        [last + 1, "mul", [{"ref": last}, {"ref": 2}]],
    ]
    table = copy.deepcopy(MLP)
    table["inputs"] = [{"id": 0, "dtype": "f32", "shape": ["B", *shape], "columns": "x"}]
    table["target"] = {"id": 1, "dtype": "f32", "shape": ["B"], "columns": "y"}
    table["parameters"] = [
        {"id": 2 + n, "dtype": "f32", "shape": list(one), "trainable": True}
        for n, one in enumerate(parameters)
    ]
    table["buffers"] = [
        {"id": 2 + len(parameters) + n, "dtype": dtype, "shape": list(one)}
        for n, (dtype, one) in enumerate(buffers)
    ]
    table["train"] = {"nodes": nodes + finish, "output": last + 1}
    table["eval"] = {"nodes": [], "output": 0}
    return encoded(table)


def rows(count: int, seed: int = 0) -> dict[str, Array]:
    """Return columns that fit the MLP."""
    dice = np.random.default_rng(seed)
    numbers = {name: dice.standard_normal(count, dtype=np.float32) for name in "abc"}
    return {**numbers, "y": dice.integers(0, CLASSES, count)}


def weights(seed: int = 0) -> bytes:
    """Return weights that fit the MLP."""
    dice = np.random.default_rng(seed)
    sizes = (HIDDEN * COLUMNS, HIDDEN, CLASSES * HIDDEN, CLASSES)
    parameters = b"".join(dice.standard_normal(n, dtype=np.float32).tobytes() for n in sizes)
    mean, variance = np.zeros(HIDDEN, np.float32), np.ones(HIDDEN, np.float32)
    return parameters + mean.tobytes() + variance.tobytes() + bytes(8)
