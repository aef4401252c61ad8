"""Training a recipe has the bits of a plain PyTorch loop."""

from __future__ import annotations

import hashlib
from functools import cache, partial

import numpy as np
import pytest
import torch
from torch import nn

from chiron_stream.graph import state
from chiron_stream.graph.columns import Array
from chiron_stream.recipe import Cosine, Recipe, parameters_sha256
from examples.networks import texts
from tests.unit.recipe import models
from tests.unit.recipe.runs import NUMBERS, Case, seeded

SGD = torch.optim.SGD
PLAIN = partial(SGD, lr=0.1)
HEAVY = partial(SGD, lr=0.05, momentum=0.9, nesterov=True, weight_decay=1e-3)
DAMPENED = partial(SGD, lr=0.05, momentum=0.8, dampening=0.1)
ADAM = partial(torch.optim.Adam, lr=0.01, weight_decay=0.1)
ADAMW = partial(torch.optim.AdamW, lr=0.01)
X = {"x": list(NUMBERS)}
WEIGHTED = nn.CrossEntropyLoss(weight=torch.tensor([0.3, 0.7]), label_smoothing=0.1)

TWELVE, TEXT = torch.zeros(2, 12), torch.zeros(2, 6, dtype=torch.int64)


def lines(count: int, seed: int) -> dict[str, Array]:
    dice = np.random.default_rng(seed)
    numbers = dice.standard_normal((count, 12), dtype=np.float32)
    return {"line": numbers, "label": dice.integers(0, 2, count)}


CASES = {
    "plain": Case(seeded(models.Plain), nn.CrossEntropyLoss(), PLAIN, X, "y"),
    "plain, momentum": Case(seeded(models.Plain), nn.CrossEntropyLoss(), HEAVY, X, "y"),
    "rich": Case(
        seeded(models.Rich), nn.CrossEntropyLoss(), HEAVY, {**X, "site": "site"}, "y"
    ),
    "rich, weighted loss": Case(
        seeded(models.Rich), WEIGHTED, DAMPENED, {**X, "site": "site"}, "y"
    ),
    "rich, inputs turned round": Case(
        seeded(models.Rich), WEIGHTED, PLAIN, {"site": "site", **X}, "y", batch_size=7
    ),
    "regression": Case(seeded(models.Regression), nn.MSELoss(), HEAVY, X, "z"),
    "regression, huber": Case(seeded(models.Regression), nn.HuberLoss(), PLAIN, X, "z"),
    "loss that is a function": Case(
        seeded(models.Plain), nn.functional.cross_entropy, PLAIN, X, "y"
    ),
    "functional": Case(seeded(models.Functional), nn.CrossEntropyLoss(), HEAVY, X, "y"),
    "tied": Case(seeded(models.Tied), nn.CrossEntropyLoss(), HEAVY, X, "y"),
    "clipped": Case(
        seeded(models.Rich), WEIGHTED, HEAVY, {**X, "site": "site"}, "y", clip_norm=0.3
    ),
    "clipped, Adam, cosine": Case(
        seeded(models.Functional), nn.CrossEntropyLoss(), ADAM, X, "y",
        clip_norm=0.3, schedule=Cosine(warmup=3, total=8),
    ),
    "gradients shared and transposed": Case(
        seeded(models.Tied), nn.CrossEntropyLoss(), ADAM, X, "y", clip_norm=0.1
    ),
    "smooth": Case(seeded(models.Regression), nn.SmoothL1Loss(beta=0.5), ADAM, X, "z"),
    "sequence": Case(
        seeded(models.Sequence), nn.CrossEntropyLoss(), ADAMW, {"x": "line"}, "label",
        example={"x": TWELVE}, rows=lines, slots=((20, 1), (9, 2)), batch_size=8,
    ),
    "masked": Case(
        seeded(models.Masked), nn.CrossEntropyLoss(), ADAMW, {"text": "text"}, "label",
        example={"text": TEXT}, rows=partial(texts, words=20), slots=((20, 1), (9, 2)),
        batch_size=8,
    ),
    "frozen and unused": Case(seeded(models.Frozen), nn.CrossEntropyLoss(), HEAVY, X, "y"),
}  # fmt: skip


@cache
def exported(name: str) -> Recipe:
    return CASES[name].export()


@pytest.mark.parametrize("name", CASES)
def test_training_has_the_bits_of_the_reference_loop(name: str) -> None:
    case = CASES[name]
    recipe = exported(name)
    ours, theirs = case.ours(recipe), case.theirs()
    assert ours == theirs
    assert ours != hashlib.sha256(recipe.weights).hexdigest()


def test_another_seed_has_other_bits() -> None:
    """The control: the comparison notices a difference in what is drawn."""
    case = CASES["rich"]
    torch.manual_seed(99)
    other = Case(models.Rich(), case.loss, case.optimizer, case.inputs, case.target)
    assert case.theirs() != other.theirs()


@pytest.mark.parametrize("name", CASES)
def test_digest_of_the_weights_is_that_of_the_module(name: str) -> None:
    case = CASES[name]
    recipe = exported(name)
    losses = [case.loss] if isinstance(case.loss, nn.Module) else []
    mine = state.parameters_digest(state.initial(recipe.checked, recipe.weights)).hex()
    assert mine == parameters_sha256(case.module, *losses)
    assert mine == hashlib.sha256(recipe.weights).hexdigest()
