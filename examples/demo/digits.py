"""Scikit-learn's handwritten digits, 1797 of 8 by 8 pixels, and a small CNN."""

from __future__ import annotations

from functools import partial
from typing import Final

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn

from chiron_stream.recipe.replaying import Spec
from examples.demo.data import CLASSES, LABEL, SEED, Data, Pace

TEST_ROWS: Final = 360
PACE: Final = Pace(rows_per_shard=16, shards_per_slot=4, window=5, passes=2, alone=2, together=8)


def load() -> Data:
    """Return the digits in a seeded order, split in training and test rows."""
    found = load_digits()
    pixels = (found.data / 16).astype(np.float32).reshape(-1, 1, 8, 8)
    classes = found.target.astype(np.int64)
    order = np.random.default_rng(SEED).permutation(len(classes))
    test, train = order[:TEST_ROWS], order[TEST_ROWS:]
    return Data(
        name="digits",
        column={"kind": "tensor", "name": "pixels", "shape": [1, 8, 8], "low": 0.0, "high": 1.0},
        classes=[str(one) for one in range(CLASSES)],
        train={"pixels": pixels[train], LABEL: classes[train]},
        test={"pixels": pixels[test], LABEL: classes[test]},
        spec=spec(),
        pace=PACE,
        shard_classes=[[1, 8_192]],
        floor=0.95,
        time="two to four minutes behind the set-up",
        disk_mb=200,
    )


def spec() -> Spec:
    """Return what the provider's recipe is made of; its weights are seeded."""
    torch.manual_seed(SEED)
    return Spec(
        module=nn.Sequential(
            *(nn.Conv2d(1, 16, 3, padding=1), nn.ReLU()),
            *(nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Flatten(), nn.Linear(512, 64), nn.ReLU(), nn.Linear(64, CLASSES)),
        ),
        loss=nn.CrossEntropyLoss(),
        inputs={"input": "pixels"},
        target=LABEL,
        optimizer=partial(torch.optim.SGD, lr=0.05, momentum=0.9),
        batch_size=32,
    )
