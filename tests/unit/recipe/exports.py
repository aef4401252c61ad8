"""Exports of small models, and their refusals."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from torch import nn

from chiron_stream.errors import RecipeRefused
from chiron_stream.recipe import Recipe
from tests.unit.recipe.runs import NUMBERS

OPTIMIZER = partial(torch.optim.SGD, lr=0.1)


def export(module: nn.Module, **changes: Any) -> Recipe:
    options: dict[str, Any] = {
        "loss": nn.CrossEntropyLoss(),
        "inputs": {"x": list(NUMBERS)},
        "target": "y",
        "optimizer": OPTIMIZER,
        **changes,
    }
    return Recipe.export(module, **options)


def refusal(module: nn.Module, code: str, **changes: Any) -> RecipeRefused:
    with pytest.raises(RecipeRefused) as caught:
        export(module, **changes)
    assert caught.value.code == code
    return caught.value
