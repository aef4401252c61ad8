"""Models at the sizes that people train, each with loss, optimizer, columns and rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np
import torch
from torch import nn

from chiron_stream.graph.columns import Array, ColumnKinds
from chiron_stream.recipe.replaying import Spec
from examples import networks

SIDE: Final = 32
LENGTH, WORDS = 64, 256
SGD: Final = partial(torch.optim.SGD, lr=0.01, momentum=0.9)
ADAMW: Final = partial(torch.optim.AdamW, lr=1e-3)

Columns = Mapping[str, Array]


@dataclass(frozen=True)
class Workload:
    """A model as it is trained in a bench.

    :param module: makes the model; :meth:`spec` seeds it.
    :param options: what else :class:`Spec` is made of.
    :param columns: the schema, as the terms of a job have it.
    :param rows: columns by count and seed.
    """

    module: Callable[[], nn.Module]
    options: Mapping[str, Any]
    columns: tuple[Mapping[str, Any], ...]
    rows: Callable[[int, int], Columns]

    @property
    def kinds(self) -> ColumnKinds:
        """Kinds and shapes of the schema's columns."""
        return {one["name"]: (one["kind"], tuple(one.get("shape", ()))) for one in self.columns}

    @property
    def batch_size(self) -> int:
        """Rows of a step."""
        size: int = self.options["batch_size"]
        return size

    def spec(self) -> Spec:
        """Return what a recipe is made of, with the same first weights each time."""
        with torch.random.fork_rng():
            torch.manual_seed(0)
            return Spec(self.module(), **self.options)


def _label(count: int) -> Mapping[str, Any]:
    return {"name": "label", "kind": "label", "classes": [str(one) for one in range(count)]}


def _category(name: str, size: int) -> Mapping[str, Any]:
    return {"name": name, "kind": "category", "values": [str(one) for one in range(size)]}


def _images(count: int, seed: int) -> Columns:
    rows = networks.images(count, seed, SIDE)
    return {**rows, "image": rows["image"].clip(-8, 8)}


def _texts(count: int, seed: int) -> Columns:
    rows = networks.texts(count, seed, LENGTH, WORDS)
    return {**rows, "text": rows["text"].astype(np.uint8)}


def mlp(features: int = 20, width: int = 256) -> Workload:
    """Return the tabular MLP, twice so wide, on so many numbers in one column."""
    column = {"name": "x", "kind": "tensor", "shape": [features], "low": -8.0, "high": 8.0}
    options = {
        "loss": nn.CrossEntropyLoss(),
        "inputs": {"input": "x"},
        "target": "y",
        "optimizer": partial(torch.optim.SGD, lr=0.05),
        "batch_size": 64,
    }
    columns = (column, {"name": "y", "kind": "label", "classes": ["no", "yes"]})
    return Workload(partial(_mlp, features, width), options, columns, partial(_points, features))


def _mlp(features: int, width: int) -> nn.Module:
    return nn.Sequential(
        *(nn.Linear(features, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU()),
        nn.Linear(width, 2),
    )


def _points(features: int, count: int, seed: int) -> Columns:
    x = np.random.default_rng(seed).standard_normal((count, features), dtype=np.float32)
    x = x.clip(-8, 8)
    return {"x": x, "y": (x[:, 0] * x[:, 1] > 0).astype(np.int64)}


_IMAGE: Final = (
    {"name": "image", "kind": "tensor", "shape": [3, SIDE, SIDE], "low": -8.0, "high": 8.0},
    _label(10),
)
_TEXT: Final = (
    {"name": "text", "kind": "tensor", "shape": [LENGTH], "dtype": "uint8", "low": 0, "high": 255},
    _label(4),
)
_TABLE: Final = (
    *({"name": name, "kind": "number", "low": -8.0, "high": 8.0} for name in ("age", "bp", "hr")),
    *(_category(name, size) for name, size in networks.CATEGORIES.items()),
    {"name": "sick", "kind": "target", "low": 0.0, "high": 1.0},
)
_CLASSES: Final = {"loss": nn.CrossEntropyLoss(), "target": "label"}

MLP: Final = mlp()
WORKLOADS: Final[Mapping[str, Workload]] = {
    "mlp": MLP,
    "vgg9": Workload(
        partial(networks.VGG9, width=32, side=SIDE),
        {**_CLASSES, "inputs": {"image": "image"}, "optimizer": SGD, "batch_size": 64},
        _IMAGE,
        _images,
    ),
    "resnet18": Workload(
        partial(networks.ResNet18, width=64),
        {**_CLASSES, "inputs": {"image": "image"}, "optimizer": SGD, "batch_size": 32},
        _IMAGE,
        _images,
    ),
    "transformer": Workload(
        partial(networks.Transformer, size=128, words=WORDS, length=LENGTH),
        {
            **_CLASSES,
            "inputs": {"text": "text"},
            "optimizer": ADAMW,
            "batch_size": 32,
            "example": {"text": torch.zeros(2, LENGTH, dtype=torch.int64)},
        },
        _TEXT,
        _texts,
    ),
    "tabular": Workload(
        partial(networks.Tabular, hidden=256),
        {
            "loss": nn.BCEWithLogitsLoss(),
            "target": "sick",
            "inputs": {"x": ["age", "bp", "hr"], **{one: one for one in networks.CATEGORIES}},
            "optimizer": ADAMW,
            "batch_size": 256,
        },
        _TABLE,
        networks.tables,
    ),
}
"""By name. Parameters: 0.07, 3.5, 11.2, 0.4 and 0.07 million."""
