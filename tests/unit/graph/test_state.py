"""The state of a model: its bytes, there and back, and what is refused."""

from __future__ import annotations

import hashlib
import struct

import pytest
import torch

from chiron_stream.errors import RecipeRefused
from chiron_stream.graph.checked import CheckedRecipe
from chiron_stream.graph.checker import check
from chiron_stream.graph.layout import Merge, layout
from chiron_stream.graph.state import (
    ModelState,
    OptimizerState,
    dump,
    finite,
    initial,
    load,
    parameters_digest,
)
from tests.unit.graph.samples import MLP, bare, changed, encoded, weights

WEIGHTS = weights()


@pytest.fixture(scope="module")
def recipe() -> CheckedRecipe:
    return check(encoded(MLP))


@pytest.fixture
def stepped(recipe: CheckedRecipe) -> ModelState:
    start = initial(recipe, WEIGHTS)
    moments = tuple(one + 1 for one in start.parameters)
    return ModelState(start.parameters, start.buffers, OptimizerState(5, (moments,)))


def refusal(recipe: CheckedRecipe, data: bytes) -> RecipeRefused:
    with pytest.raises(RecipeRefused) as caught:
        load(recipe, data)
    assert caught.value.code == "GRAPH_STATE"
    return caught.value


def test_initial_splits_weights_in_the_order_of_ids(recipe: CheckedRecipe) -> None:
    state = initial(recipe, WEIGHTS)
    assert [tuple(one.shape) for one in state.parameters] == [(4, 3), (4,), (2, 4), (2,)]
    assert [one.dtype for one in state.buffers] == [torch.float32, torch.float32, torch.int64]
    assert state.optimizer is None
    assert float(state.parameters[0][0, 1]) == struct.unpack_from("<f", WEIGHTS, 4)[0]


def test_dump_before_the_first_step_is_weights_and_one_zero(recipe: CheckedRecipe) -> None:
    assert dump(initial(recipe, WEIGHTS)) == WEIGHTS + b"\0"


def test_load_reads_back_what_dump_writes(recipe: CheckedRecipe, stepped: ModelState) -> None:
    data = dump(stepped)
    assert data[len(WEIGHTS)] == 1
    assert data[len(WEIGHTS) + 1 :][:8] == struct.pack("<q", 5)
    again = load(recipe, data)
    assert dump(again) == data
    assert again.optimizer is not None
    assert again.optimizer.steps == 5


@pytest.mark.parametrize("optimizer", [False, True])
def test_layout_covers_every_byte(
    recipe: CheckedRecipe, stepped: ModelState, *, optimizer: bool
) -> None:
    state = stepped if optimizer else initial(recipe, WEIGHTS)
    segments = layout(recipe, stepped=optimizer)
    assert sum(one.bytes for one in segments) == len(dump(state))
    assert len({one.name for one in segments}) == len(segments)


def test_layout_says_how_slots_are_merged(recipe: CheckedRecipe) -> None:
    merge = {one.name: one.merge for one in layout(recipe, stepped=True)}
    assert merge["parameter 2"] is Merge.AVERAGE
    assert merge["buffer 6"] is Merge.AVERAGE
    assert merge["buffer 8"] is Merge.COUNT
    assert merge["presence"] is Merge.COUNT
    assert merge["steps"] is Merge.COUNT
    assert merge["momentum_buffer 5"] is Merge.AVERAGE


def test_layout_keeps_what_no_step_changes() -> None:
    data = changed(lambda table: table["parameters"][1].__setitem__("trainable", False))
    segments = layout(check(data), stepped=True)
    assert {one.name: one.merge for one in segments}["parameter 3"] is Merge.KEEP
    assert "momentum_buffer 3" not in {one.name for one in segments}


def test_optimizer_without_moments_keeps_its_steps_only() -> None:
    plain = check(changed(lambda table: table["optimizer"].__setitem__("momentum", 0.0)))
    assert [one.name for one in layout(plain, stepped=True)][-2:] == ["presence", "steps"]


@pytest.mark.parametrize("change", [-1, 1, -len(WEIGHTS)])
def test_initial_refuses_another_length(recipe: CheckedRecipe, change: int) -> None:
    data = WEIGHTS[:change] if change < 0 else WEIGHTS + bytes(change)
    with pytest.raises(RecipeRefused, match="144 bytes") as caught:
        initial(recipe, data)
    assert caught.value.code == "GRAPH_STATE"


@pytest.mark.parametrize("change", [-1, 1])
def test_load_refuses_another_length(
    recipe: CheckedRecipe, stepped: ModelState, change: int
) -> None:
    data = dump(stepped)
    refusal(recipe, data[:change] if change < 0 else data + bytes(change))
    refusal(recipe, WEIGHTS)
    refusal(recipe, b"")


def test_load_refuses_a_presence_that_contradicts_the_length(
    recipe: CheckedRecipe, stepped: ModelState
) -> None:
    data = bytearray(dump(stepped))
    data[len(WEIGHTS)] = 0
    refusal(recipe, bytes(data))
    refusal(recipe, WEIGHTS + b"\1")


def test_load_refuses_a_presence_that_is_no_truth_value(recipe: CheckedRecipe) -> None:
    assert refusal(recipe, WEIGHTS + b"\2").got == "2"


def test_initial_refuses_truth_values_that_are_none() -> None:
    data = bare([[4, "mul", [{"ref": 0}, {"ref": 3}]]], buffers=(("bool", (3,)),))
    recipe = check(data)
    assert initial(recipe, bytes(4) + b"\1\0\1").buffers[0].tolist() == [True, False, True]
    with pytest.raises(RecipeRefused, match="buffer 3") as caught:
        initial(recipe, bytes(4) + b"\1\0\2")
    assert caught.value.code == "GRAPH_STATE"


def test_parameters_digest_is_that_of_the_weights(
    recipe: CheckedRecipe, stepped: ModelState
) -> None:
    assert parameters_digest(stepped) == hashlib.sha256(WEIGHTS).digest()


def test_load_copies_the_bytes(recipe: CheckedRecipe) -> None:
    data = bytearray(WEIGHTS)
    state = initial(recipe, bytes(data))
    state.parameters[0].zero_()
    assert initial(recipe, bytes(data)).parameters[0].count_nonzero() == 12


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_finite_finds_a_number_that_is_none(
    recipe: CheckedRecipe, stepped: ModelState, number: float
) -> None:
    assert finite(initial(recipe, WEIGHTS))
    assert finite(stepped)
    assert stepped.optimizer is not None
    stepped.optimizer.moments[0][3][1] = number
    assert not finite(stepped)
    broken = struct.pack("<f", number) + WEIGHTS[4:]
    assert not finite(initial(recipe, broken))
