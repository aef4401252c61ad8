"""The demo's data, terms and model: scikit-learn's handwritten digits and a small MLP."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from sklearn.datasets import load_digits
from torch import nn

from chiron_stream.job.terms import Terms, read_terms
from chiron_stream.recipe import Constant, Recipe

BATCH: Final = 32
TEST_ROWS: Final = 360
SEED: Final = 20_261_125

OPTIMIZER: Final = partial(torch.optim.SGD, lr=0.2)
SCHEDULE: Final = Constant()


@dataclass(frozen=True)
class Digits:
    """Rows of 64 pixels, float32 from 0 to 1, and classes 0 to 9."""

    train: dict[str, npt.NDArray[Any]]
    test: dict[str, npt.NDArray[Any]]


def load() -> Digits:
    """Return the digits in a seeded order, split in training and test rows."""
    data = load_digits()
    pixels, classes = (data.data / 16).astype(np.float32), data.target.astype(np.int64)
    order = np.random.default_rng(SEED).permutation(len(classes))
    train, test = order[TEST_ROWS:], order[:TEST_ROWS]
    return Digits(
        {"pixels": pixels[train], "digit": classes[train]},
        {"pixels": pixels[test], "digit": classes[test]},
    )


def terms() -> Terms:
    """Return the terms of the demo's job."""
    pixels = {"kind": "tensor", "name": "pixels", "shape": [64], "low": 0.0, "high": 1.0}
    digit = {"kind": "label", "name": "digit", "classes": [str(one) for one in range(10)]}
    return read_terms(
        {
            "name": "demo",
            "owners": {"hospital": ["digits"]},
            "provider": "modeller",
            "clients": ["app"],
            "auditor": "auditor",
            "seed": "digits",
            "columns": [pixels, digit],
            "schedule": {"shards_per_slot": 4, "passes": 12, "release_every": 4},
            "disclosure": {"answers_per_client": 1000, "grant_size": 100},
            "shard_classes": [[1, 16_384], [1, 65_536]],
        }
    )


def model() -> nn.Module:
    """Return the provider's model, seeded."""
    torch.manual_seed(SEED)
    return nn.Sequential(
        nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10)
    )


def recipe(kinds: Any) -> Recipe:
    """Return the provider's recipe."""
    return Recipe.export(
        model(),
        loss=nn.CrossEntropyLoss(),
        inputs={"input": "pixels"},
        target="digit",
        optimizer=OPTIMIZER,
        schedule=SCHEDULE,
        batch_size=BATCH,
        columns=kinds,
    )
