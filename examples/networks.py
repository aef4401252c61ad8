"""Four networks as people train them, and random rows for them; sizes by default are for tests."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  (torch's custom)
from torch import nn

from chiron_stream.graph.columns import Array

SIDE, WORDS, LENGTH = 16, 50, 6
CATEGORIES: Mapping[str, int] = {"site": 5, "sex": 3, "ward": 7}
"""Columns of categories, and how many values each has."""


class VGG9(nn.Module):
    """Six convolutions with batch norm, three layers; dropout between them."""

    def __init__(self, width: int = 8, classes: int = 10, side: int = SIDE) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 3
        for sizes in ((width, 2 * width), (4 * width, 4 * width), (8 * width, 8 * width)):
            for size in sizes:
                layers += [nn.Conv2d(before, size, 3, padding=1), nn.BatchNorm2d(size), nn.ReLU()]
                before = size
            layers += [nn.MaxPool2d(2), nn.Dropout(0.1)]
        self.features = nn.Sequential(*layers)
        flat, hidden = before * (side // 8) ** 2, 16 * width
        self.classifier = nn.Sequential(
            nn.Flatten(),
            *(nn.Dropout(0.3), nn.Linear(flat, hidden), nn.ReLU(), nn.Linear(hidden, hidden)),
            *(nn.ReLU(inplace=True), nn.Dropout(0.3), nn.Linear(hidden, classes)),
        )

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return logits ``[rows, classes]`` of ``[rows, 3, side, side]``."""
        found: torch.Tensor = self.classifier(self.features(image))
        return found


class Block(nn.Module):
    """Two convolutions beside a short cut."""

    def __init__(self, before: int, size: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(before, size, 3, stride, 1, bias=False)
        self.first_norm = nn.BatchNorm2d(size)
        self.second = nn.Conv2d(size, size, 3, 1, 1, bias=False)
        self.second_norm = nn.BatchNorm2d(size)
        self.short: nn.Module = nn.Identity()
        if stride != 1 or before != size:
            self.short = nn.Sequential(
                nn.Conv2d(before, size, 1, stride, bias=False), nn.BatchNorm2d(size)
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return ``[rows, size, side / stride, side / stride]``."""
        made = F.relu(self.first_norm(self.first(x)))
        made = self.second_norm(self.second(made))
        made += self.short(x)
        return F.relu(made)


class ResNet18(nn.Module):
    """ResNet-18 for small images."""

    def __init__(self, width: int = 4, classes: int = 10) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, width, 3, 1, 1, bias=False)
        self.norm = nn.BatchNorm2d(width)
        blocks, before = [], width
        for level in range(4):
            for stride in (1 if level == 0 else 2, 1):
                blocks.append(Block(before, width << level, stride))
                before = width << level
        self.blocks = nn.Sequential(*blocks)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.last = nn.Linear(before, classes)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return logits ``[rows, classes]`` of ``[rows, 3, side, side]``."""
        made = self.blocks(F.relu(self.norm(self.stem(image))))
        found: torch.Tensor = self.last(self.pool(made).flatten(1))
        return found


class Transformer(nn.Module):
    """Word and place embeddings, encoder layers, the mean over places."""

    def __init__(self, size: int = 16, words: int = WORDS, length: int = LENGTH) -> None:
        super().__init__()
        self.words = nn.Embedding(words, size)
        self.places = nn.Parameter(torch.randn(length, size) * 0.02)
        layer = nn.TransformerEncoderLayer(
            size, 4, 4 * size, 0.1, activation="gelu", batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(size)
        self.last = nn.Linear(size, 4)

    def forward(self, text: torch.Tensor) -> torch.Tensor:
        """Return logits ``[rows, 4]`` of word numbers ``[rows, length]``."""
        made = self.layers(self.words(text) + self.places)
        found: torch.Tensor = self.last(self.norm(made).mean(1))
        return found


class Tabular(nn.Module):
    """Several categories, each through a table of its own, beside numbers."""

    def __init__(self, hidden: int = 32) -> None:
        super().__init__()
        self.tables = nn.ModuleList([nn.Embedding(size, 4) for size in CATEGORIES.values()])
        width = 3 + 4 * len(CATEGORIES)
        self.net = nn.Sequential(
            *(nn.Linear(width, hidden), nn.BatchNorm1d(hidden), nn.ReLU(), nn.Dropout(0.2)),
            *(nn.Linear(hidden, hidden), nn.SiLU(), nn.Linear(hidden, 1)),
        )

    def forward(
        self, x: torch.Tensor, site: torch.Tensor, sex: torch.Tensor, ward: torch.Tensor
    ) -> torch.Tensor:
        """Return one logit a row, of three numbers and the number of each category."""
        pairs = zip(self.tables, (site, sex, ward), strict=True)
        joined = torch.cat([x, *(table(one) for table, one in pairs)], dim=1)
        found: torch.Tensor = self.net(joined)
        return found.squeeze(1)


def images(count: int, seed: int, side: int = SIDE) -> dict[str, Array]:
    """Return ``image``, float32 ``[count, 3, side, side]``, and ``label``, of ten classes."""
    dice = np.random.default_rng(seed)
    image = dice.standard_normal((count, 3, side, side), dtype=np.float32)
    return {"image": image, "label": dice.integers(0, 10, count)}


def texts(count: int, seed: int, length: int = LENGTH, words: int = WORDS) -> dict[str, Array]:
    """Return ``text``, int64 ``[count, length]``, and ``label``, of four classes."""
    dice = np.random.default_rng(seed)
    return {"text": dice.integers(0, words, (count, length)), "label": dice.integers(0, 4, count)}


def tables(count: int, seed: int) -> dict[str, Array]:
    """Return three numbers, three categories, and ``sick``, 0.0 or 1.0."""
    dice = np.random.default_rng(seed)
    numbers = {n: dice.standard_normal(count, dtype=np.float32) for n in ("age", "bp", "hr")}
    categories = {name: dice.integers(0, size, count) for name, size in CATEGORIES.items()}
    return {**numbers, **categories, "sick": dice.integers(0, 2, count).astype(np.float32)}


IMAGE: Mapping[str, torch.Tensor] = {"image": torch.zeros(2, 3, SIDE, SIDE)}
TEXT: Mapping[str, torch.Tensor] = {"text": torch.zeros(2, LENGTH, dtype=torch.int64)}
"""Examples: what the inputs are."""
