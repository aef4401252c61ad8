"""Predictions: one batch size, no neighbours, no state changed."""

from __future__ import annotations

import numpy as np
import pytest

from chiron_stream.errors import BugFound, RecipeRefused, SchemaMismatch
from chiron_stream.graph.checked import CheckedRecipe
from chiron_stream.graph.checker import check
from chiron_stream.graph.columns import Array
from chiron_stream.graph.prediction import predict
from chiron_stream.graph.state import ModelState, dump, initial
from chiron_stream.graph.training import train_slot
from tests.unit.graph.samples import CLASSES, MLP, changed, encoded, rows, weights

BATCH = 8


@pytest.fixture(scope="module")
def recipe() -> CheckedRecipe:
    return check(encoded(MLP))


@pytest.fixture(scope="module")
def trained(recipe: CheckedRecipe) -> ModelState:
    return train_slot(recipe, initial(recipe, weights()), rows(100), seed=1, first_step=0)


def inputs(count: int, seed: int = 1) -> dict[str, Array]:
    return {name: array for name, array in rows(count, seed).items() if name != "y"}


def part(columns: dict[str, Array], chosen: slice | list[int]) -> dict[str, Array]:
    return {name: array[chosen] for name, array in columns.items()}


@pytest.mark.parametrize("count", [1, 7, 8, 9, 20])
def test_predict_answers_each_row_and_no_padding(
    recipe: CheckedRecipe, trained: ModelState, count: int
) -> None:
    made = predict(recipe, trained, inputs(count), BATCH)
    assert made.shape == (count, CLASSES)
    assert made.dtype == np.float32


def test_bits_of_an_answer_do_not_depend_on_neighbours_or_position(
    recipe: CheckedRecipe, trained: ModelState
) -> None:
    columns = inputs(37)
    together = predict(recipe, trained, columns, BATCH)
    alone = [predict(recipe, trained, part(columns, slice(n, n + 1)), BATCH) for n in range(37)]
    assert np.concatenate(alone).tobytes() == together.tobytes()
    order = list(np.random.default_rng(3).permutation(37))
    mixed = predict(recipe, trained, part(columns, order), BATCH)
    assert mixed.tobytes() == together[order].tobytes()


def test_bits_of_an_answer_do_not_depend_on_a_neighbour_that_is_no_number(
    recipe: CheckedRecipe, trained: ModelState
) -> None:
    columns = inputs(3)
    before = predict(recipe, trained, columns, BATCH)
    columns["a"][1] = np.nan
    after = predict(recipe, trained, columns, BATCH)
    assert after[[0, 2]].tobytes() == before[[0, 2]].tobytes()
    assert np.isnan(after[1]).all()


def test_predict_leaves_the_state_as_it_is(recipe: CheckedRecipe, trained: ModelState) -> None:
    before = dump(trained)
    predict(recipe, trained, inputs(20), BATCH)
    assert dump(trained) == before


def test_predict_needs_no_target(recipe: CheckedRecipe, trained: ModelState) -> None:
    columns = rows(5)
    without = part({n: a for n, a in columns.items() if n != "y"}, slice(None))
    first = predict(recipe, trained, columns, BATCH)
    assert first.tobytes() == predict(recipe, trained, without, BATCH).tobytes()


@pytest.mark.parametrize("batch", [0, 1, 257])
def test_predict_refuses_a_batch_that_was_not_checked(
    recipe: CheckedRecipe, trained: ModelState, batch: int
) -> None:
    with pytest.raises(BugFound):
        predict(recipe, trained, inputs(3), batch)


def test_predict_refuses_no_rows(recipe: CheckedRecipe, trained: ModelState) -> None:
    with pytest.raises(SchemaMismatch) as caught:
        predict(recipe, trained, inputs(0), BATCH)
    assert caught.value.code == "GRAPH_ROWS"


def test_predict_names_the_node_that_does_not_run_and_no_value() -> None:
    table = changed(lambda one: one.update(
        inputs=[{"id": 0, "dtype": "i64", "shape": ["B"], "columns": "site"}],
        train={"nodes": [
            [9, "embedding", [{"ref": 2}, {"ref": 0}, -1]],
            [10, "sum_all", [{"ref": 9}]],
        ], "output": 10},
        eval={"nodes": [[9, "embedding", [{"ref": 2}, {"ref": 0}, -1]]], "output": 9},
    ))  # fmt: skip
    recipe = check(table)
    with pytest.raises(RecipeRefused, match=r"eval graph, node 9") as caught:
        predict(recipe, initial(recipe, weights()), {"site": np.array([98765])}, BATCH)
    assert caught.value.code == "GRAPH_RUN"
    assert "98765" not in str(caught.value)
