"""Models that people really train have the bits of a plain PyTorch loop, over several slots."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterator
from functools import cache, partial

import pytest
import torch
from torch import nn

from chiron_stream.graph import prediction, state
from chiron_stream.recipe import Cosine, Recipe, Step, Warmup
from examples import networks
from tests.unit.recipe.runs import Case, seeded

SGD, ADAM, ADAMW = torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW
SLOTS = ((13, 21), (9, 22))

CASES = {
    "VGG-9": Case(
        seeded(networks.VGG9),
        nn.CrossEntropyLoss(label_smoothing=0.1),
        partial(SGD, lr=0.05, momentum=0.9, nesterov=True, weight_decay=1e-4),
        {"image": "image"},
        "label",
        batch_size=4,
        schedule=Cosine(warmup=2, total=5),
        example=networks.IMAGE,
        rows=networks.images,
        slots=SLOTS,
    ),
    "ResNet-18": Case(
        seeded(networks.ResNet18),
        nn.CrossEntropyLoss(weight=torch.linspace(0.5, 1.5, 10)),
        partial(ADAM, lr=1e-3, weight_decay=1e-2),
        {"image": "image"},
        "label",
        batch_size=4,
        schedule=Step(every=2, factor=0.5),
        clip_norm=0.5,
        example=networks.IMAGE,
        rows=networks.images,
        slots=SLOTS,
    ),
    "transformer": Case(
        seeded(networks.Transformer),
        nn.CrossEntropyLoss(),
        partial(ADAMW, lr=1e-3, betas=(0.9, 0.98), eps=1e-6),
        {"text": "text"},
        "label",
        batch_size=4,
        schedule=Warmup(4),
        clip_norm=1.0,
        example=networks.TEXT,
        rows=networks.texts,
        slots=SLOTS,
    ),
    "tabular": Case(
        seeded(networks.Tabular),
        nn.BCEWithLogitsLoss(pos_weight=torch.tensor(3.0)),
        partial(ADAMW, lr=1e-2),
        {"x": ["age", "bp", "hr"], "site": "site", "sex": "sex", "ward": "ward"},
        "sick",
        batch_size=4,
        schedule=Cosine(warmup=1, total=100),
        rows=networks.tables,
        slots=((30, 21), (21, 22)),
    ),
}


@cache
def exported(name: str) -> Recipe:
    return CASES[name].export()


@pytest.fixture
def slow_path() -> Iterator[None]:
    """Torch's encoder layers have kernels of their own for eval mode, with other last bits."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    yield
    torch.backends.mha.set_fastpath_enabled(before)


@pytest.mark.parametrize("name", CASES)
def test_training_has_the_bits_of_the_reference_loop(name: str) -> None:
    case, recipe = CASES[name], exported(name)
    found = case.ours(recipe)
    assert found == case.theirs()
    assert found != hashlib.sha256(recipe.weights).hexdigest()


@pytest.mark.parametrize("name", CASES)
@pytest.mark.usefixtures("slow_path")
def test_predictions_have_the_bits_of_the_module_in_eval_mode(name: str) -> None:
    case, recipe = CASES[name], exported(name)
    rows = case.rows(6, 1)
    start = state.initial(recipe.checked, recipe.weights)
    ours = prediction.predict(recipe.checked, start, rows, 6)
    inputs = {one: torch.tensor(array) for one, array in case.slot(6, 1).inputs.items()}
    module = copy.deepcopy(case.module).eval()
    with torch.no_grad():
        theirs = module(**inputs)
    assert ours.tobytes() == theirs.numpy().tobytes()
