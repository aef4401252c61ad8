"""Export: what a recipe holds."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from chiron_stream.graph import prediction, state
from chiron_stream.graph.checked import commitment
from chiron_stream.graph.format import parse
from chiron_stream.graph.optimizers import SGD, Adam, AdamW, Optimizer
from chiron_stream.graph.schedules import Cosine
from chiron_stream.recipe.settings import optimizer_setting
from tests.unit.recipe import models
from tests.unit.recipe.exports import export
from tests.unit.recipe.runs import NUMBERS, columns, seeded


def test_recipe_holds_definition_weights_and_commitment() -> None:
    module = seeded(models.Plain)
    recipe = export(module, batch_size=32)
    definition = parse(recipe.definition)
    assert definition == recipe.checked.definition
    assert definition.batch_size == 32
    assert definition.inputs[0].columns == NUMBERS
    assert definition.target.columns == ("y",)
    assert definition.optimizer == SGD(lr=0.1)
    assert recipe.commitment == commitment(recipe.definition, recipe.weights)
    first = module.get_parameter("net.0.weight").detach().numpy().tobytes()
    assert recipe.weights.startswith(first)


def test_export_is_the_same_each_time_and_holds_no_names() -> None:
    recipe = export(seeded(models.Plain))
    assert recipe == export(seeded(models.Plain))
    assert b"net" not in recipe.definition
    assert b"forward" not in recipe.definition


def test_export_leaves_the_module_as_it_is() -> None:
    module = seeded(models.Rich)
    module.eval()
    module.get_submodule("net.3").train()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    generator = torch.get_rng_state()
    export(module, inputs={"x": list(NUMBERS), "site": "site"})
    assert not module.training
    assert module.get_submodule("net.3").training
    assert all(torch.equal(before[name], one) for name, one in module.state_dict().items())
    assert torch.equal(torch.get_rng_state(), generator)


def test_eval_graph_is_the_module_in_eval_mode() -> None:
    module = seeded(models.Rich)
    recipe = export(module, inputs={"x": list(NUMBERS), "site": "site"})
    table = columns(10, 1)
    found = prediction.predict(
        recipe.checked, state.initial(recipe.checked, recipe.weights), table, 10
    )
    x = torch.tensor(np.stack([table[name] for name in NUMBERS], 1))
    with torch.no_grad():
        expected = module.eval()(x=x, site=torch.tensor(table["site"]))
    assert found.tobytes() == expected.numpy().tobytes()


def test_tied_parameters_are_one() -> None:
    recipe = export(seeded(models.Tied))
    assert len(recipe.checked.definition.parameters) == 3


def test_frozen_and_unused_parameters_are_kept_and_not_trained() -> None:
    recipe = export(seeded(models.Frozen))
    parameters = recipe.checked.definition.parameters
    frozen = [one.id for one in parameters if not one.trainable]
    assert len(frozen) == 2
    assert len(recipe.checked.trained) == len(parameters) - 3


def test_example_says_what_a_single_column_is() -> None:
    recipe = export(
        nn.Sequential(nn.Flatten(), nn.Linear(12, 2)),
        inputs={"input": "image"},
        example={"input": torch.zeros(5, 3, 4)},
    )
    found = recipe.checked.definition.inputs[0]
    assert (found.row_shape, found.columns, found.stacked) == ((3, 4), ("image",), False)


def test_columns_say_what_each_column_is() -> None:
    kinds = {"image": ("tensor", (3, 4)), "risk": ("target", ())}
    recipe = export(
        nn.Sequential(nn.Flatten(), nn.Linear(12, 1), nn.Flatten(0)),
        loss=nn.MSELoss(),
        inputs={"input": "image"},
        target="risk",
        columns=kinds,
    )
    definition = recipe.checked.definition
    assert definition.inputs[0].row_shape == (3, 4)
    assert definition.target.dtype == "f32"


SETTINGS: dict[str, tuple[Callable[[Any], torch.optim.Optimizer], Optimizer]] = {
    "Adam": (torch.optim.Adam, Adam(weight_decay=0.0)),
    "AdamW": (torch.optim.AdamW, AdamW()),
    "Adam that decays apart": (
        partial(torch.optim.Adam, decoupled_weight_decay=True, weight_decay=0.1, eps=1e-6),
        AdamW(eps=1e-6, weight_decay=0.1),
    ),
    "decays": (partial(torch.optim.Adam, betas=(0.8, 0.9)), Adam(beta1=0.8, beta2=0.9)),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_recipe_holds_the_numbers_of_the_optimizer(name: str) -> None:
    factory, expected = SETTINGS[name]
    assert optimizer_setting(factory, models.Plain()) == expected


def test_recipe_holds_schedule_and_clipping() -> None:
    recipe = export(models.Plain(), schedule=Cosine(warmup=5, total=50), clip_norm=1.5)
    definition = parse(recipe.definition)
    assert definition.schedule == Cosine(5, 50)
    assert definition.clip_norm == 1.5
