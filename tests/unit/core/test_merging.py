"""The arithmetic of merging slots, against the formula written out."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from chiron_stream.errors import RecipeRefused
from chiron_stream.graph import state
from chiron_stream.graph.checked import CheckedRecipe
from chiron_stream.graph.columns import Array
from chiron_stream.graph.training import train_slot
from chiron_stream.recipe import Recipe
from enclave_workers.core.coordinator.merging import merge_states

ROWS = (40, 7, 300)


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    torch.manual_seed(0)
    return Recipe.export(
        nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2)),
        loss=nn.CrossEntropyLoss(),
        inputs={"input": "x"},
        target="y",
        optimizer=partial(torch.optim.SGD, lr=0.1, momentum=0.9),
        batch_size=8,
        columns={"x": ("tensor", (3,)), "y": ("label", ())},
    )


@pytest.fixture(scope="module")
def slots(recipe: Recipe) -> tuple[bytes, list[bytes]]:
    """A base, and what three slots made of it."""
    base = state.initial(recipe.checked, recipe.weights)
    return state.dump(base), [trained(recipe.checked, base, rows) for rows in ROWS]


def trained(checked: CheckedRecipe, base: state.ModelState, rows: int) -> bytes:
    generator = np.random.default_rng(rows)
    x = generator.standard_normal((rows, 3)).astype(np.float32)
    columns: dict[str, Array] = {"x": x, "y": generator.integers(0, 2, rows)}
    return state.dump(train_slot(checked, base, columns, seed=rows, first_step=0))


def test_parameters_are_averaged_in_float64_and_rounded_once(
    recipe: Recipe, slots: tuple[bytes, list[bytes]]
) -> None:
    base, updates = slots
    merged = state.load(recipe.checked, merge_states(recipe.checked, base, updates, ROWS))
    each = [state.load(recipe.checked, one) for one in updates]
    for place, found in enumerate(merged.parameters):
        values = [one.parameters[place].double().numpy() for one in each]
        exact = ROWS[0] * values[0] + ROWS[1] * values[1] + ROWS[2] * values[2]
        expected = (exact / sum(ROWS)).astype(np.float32)
        assert found.numpy().tobytes() == expected.tobytes()


def test_counters_are_the_base_plus_the_largest_increment(
    recipe: Recipe, slots: tuple[bytes, list[bytes]]
) -> None:
    base, updates = slots
    merged = state.load(recipe.checked, merge_states(recipe.checked, base, updates, ROWS))
    again = merge_states(recipe.checked, updates[0], updates, ROWS)
    most = max(int(state.load(recipe.checked, one).buffers[2]) for one in updates)
    assert int(merged.buffers[2]) == most == 38
    assert merged.optimizer is not None
    assert merged.optimizer.steps == most
    assert int(state.load(recipe.checked, again).buffers[2]) == most


def test_order_of_slots_is_part_of_the_result(
    recipe: Recipe, slots: tuple[bytes, list[bytes]]
) -> None:
    base, updates = slots
    one = merge_states(recipe.checked, base, updates, ROWS)
    same = merge_states(recipe.checked, base, updates, ROWS)
    alone = merge_states(recipe.checked, base, updates[:1], ROWS[:1])
    assert one == same
    assert alone == updates[0]
    assert one != updates[0]


def test_merge_refuses_bytes_that_are_no_state(
    recipe: Recipe, slots: tuple[bytes, list[bytes]]
) -> None:
    base, updates = slots
    with pytest.raises(RecipeRefused) as refused:
        merge_states(recipe.checked, base, [updates[0], updates[1][:-1]], ROWS[:2])
    assert refused.value.code == "GRAPH_STATE"
