"""A slot of training: order, batches, seeds, and what it leaves alone."""

from __future__ import annotations

import json
import threading
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from chiron_stream.errors import RecipeRefused, SchemaMismatch
from chiron_stream.graph.batching import batches, number_of_steps
from chiron_stream.graph.checked import CheckedRecipe
from chiron_stream.graph.checker import check
from chiron_stream.graph.state import ModelState, dump, finite, initial, load
from chiron_stream.graph.training import train_slot
from tests.unit.graph.samples import MLP, bare, changed, encoded, rows, weights


@pytest.fixture(scope="module")
def recipe() -> CheckedRecipe:
    return check(encoded(MLP))


@pytest.fixture
def start(recipe: CheckedRecipe) -> ModelState:
    return initial(recipe, weights())


@given(st.integers(2, 500), st.integers(2, 100))
def test_batches_hold_every_row_once_and_never_one_alone(count: int, size: int) -> None:
    found = list(batches(count, size))
    assert [stop for _, stop in found[:-1]] == [begin for begin, _ in found[1:]]
    assert (found[0][0], found[-1][1]) == (0, count)
    lengths = [stop - begin for begin, stop in found]
    assert all(2 <= one <= size + 1 for one in lengths)
    assert all(one == size for one in lengths[:-1])
    assert len(found) == number_of_steps(count, size)


@pytest.mark.parametrize(
    ("count", "lengths"), [(8, [8]), (9, [9]), (10, [8, 2]), (17, [8, 9]), (2, [2]), (3, [3])]
)
def test_remainder_of_one_row_joins_the_batch_before(count: int, lengths: list[int]) -> None:
    assert [stop - begin for begin, stop in batches(count, 8)] == lengths


@pytest.mark.parametrize("count", [0, 1])
def test_train_slot_refuses_fewer_than_two_rows(
    recipe: CheckedRecipe, start: ModelState, count: int
) -> None:
    with pytest.raises(SchemaMismatch, match="at least 2 rows") as caught:
        train_slot(recipe, start, rows(count), seed=1, first_step=0)
    assert caught.value.code == "GRAPH_ROWS"


def test_train_slot_is_a_function_of_its_arguments(
    recipe: CheckedRecipe, start: ModelState
) -> None:
    made = []
    for noise in (1, 2):
        torch.manual_seed(noise)
        made.append(dump(train_slot(recipe, start, rows(30), seed=5, first_step=0)))
    assert made[0] == made[1]
    assert made[0] != dump(train_slot(recipe, start, rows(30), seed=6, first_step=0))


def test_train_slot_leaves_state_rows_and_the_generator_alone(
    recipe: CheckedRecipe, start: ModelState
) -> None:
    before, columns = dump(start), rows(20)
    copies = {name: array.copy() for name, array in columns.items()}
    generator = torch.get_rng_state()
    once = train_slot(recipe, start, columns, seed=1, first_step=0)
    twice_from = dump(once)
    train_slot(recipe, once, columns, seed=1, first_step=3)
    assert dump(start) == before
    assert dump(once) == twice_from
    assert all((columns[name] == copies[name]).all() for name in columns)
    assert torch.equal(torch.get_rng_state(), generator)


def test_train_slot_takes_rows_that_nobody_may_write(
    recipe: CheckedRecipe, start: ModelState
) -> None:
    columns = {name: np.frombuffer(a.tobytes(), a.dtype) for name, a in rows(10).items()}
    assert finite(train_slot(recipe, start, columns, seed=1, first_step=0))


def test_state_that_was_dumped_and_loaded_goes_on_with_the_same_bits(
    recipe: CheckedRecipe, start: ModelState
) -> None:
    straight = stored = start
    for slot in range(3):
        columns = rows(19, seed=slot)
        first = slot * number_of_steps(19, 8)
        straight = train_slot(recipe, straight, columns, seed=slot, first_step=first)
        reloaded = load(recipe, dump(stored))
        stored = train_slot(recipe, reloaded, columns, seed=slot, first_step=first)
    assert dump(straight) == dump(stored)


def test_on_step_gets_the_global_number_of_each_step(
    recipe: CheckedRecipe, start: ModelState
) -> None:
    seen: list[int] = []
    train_slot(recipe, start, rows(20), seed=1, first_step=40, on_step=seen.append)
    assert seen == [40, 41, 42]


def test_measure_hears_loss_and_norm_of_each_step_and_changes_nothing(
    recipe: CheckedRecipe, start: ModelState
) -> None:
    heard: list[tuple[float, float]] = []
    watched = train_slot(
        recipe,
        start,
        rows(20),
        seed=1,
        first_step=0,
        measure=lambda loss, norm: heard.append((loss, norm)),
    )
    alone = train_slot(recipe, start, rows(20), seed=1, first_step=0)
    assert dump(watched) == dump(alone)
    assert len(heard) == 3
    assert all(loss > 0 and norm > 0 for loss, norm in heard)


def test_on_step_may_end_the_slot(recipe: CheckedRecipe, start: ModelState) -> None:
    def stop(step: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_slot(recipe, start, rows(20), seed=1, first_step=0, on_step=stop)


def test_counters_count_steps(recipe: CheckedRecipe, start: ModelState) -> None:
    after = train_slot(recipe, start, rows(20), seed=1, first_step=0)
    assert int(after.buffers[2]) == 3
    assert after.optimizer is not None
    assert after.optimizer.steps == 3


def test_loss_that_is_no_number_is_no_error(recipe: CheckedRecipe, start: ModelState) -> None:
    columns = rows(20)
    columns["a"][3] = np.inf
    after = train_slot(recipe, start, columns, seed=1, first_step=0)
    assert not finite(after)


def test_train_slot_refuses_a_class_beyond_the_logits_and_shows_no_value(
    recipe: CheckedRecipe, start: ModelState
) -> None:
    columns = rows(20)
    columns["y"][7] = 54321
    with pytest.raises(RecipeRefused) as caught:
        train_slot(recipe, start, columns, seed=1, first_step=0)
    assert caught.value.code == "GRAPH_RUN"
    assert "node 15 (cross_entropy)" in caught.value.message
    assert "54321" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_torch_itself_shows_the_value() -> None:
    """The control: torch's own message holds what the row holds."""
    with pytest.raises(IndexError, match="54321"):
        torch.nn.functional.cross_entropy(torch.zeros(1, 2), torch.tensor([54321]))


def test_embedding_refuses_a_category_beyond_its_table() -> None:
    node = [4, "embedding", [{"ref": 3}, {"ref": 0}, -1]]
    table = json.loads(bare([node], parameters=((), (5, 2)), shape=()))
    table["inputs"][0]["dtype"] = "i64"
    table["eval"] = {"nodes": [node], "output": 4}
    recipe = check(encoded(table))
    start = initial(recipe, bytes(4 + 40))
    columns: dict[str, Any] = {"x": np.array([0, 5]), "y": np.zeros(2, np.float32)}
    with pytest.raises(RecipeRefused, match=r"node 4 \(embedding\)"):
        train_slot(recipe, start, columns, seed=1, first_step=0)
    columns["x"] = np.array([0, 4])
    assert finite(train_slot(recipe, start, columns, seed=1, first_step=0))


POSITIVES = [
    [3, "sum_all", [{"ref": 0}]],
    [4, "mul", [{"ref": 3}, {"ref": 2}]],
    [5, "binary_cross_entropy_with_logits", [{"ref": 4}, {"ref": 1}, None, None, 0]],
]
"""One number against a target for each row: the kernel's backward pass refuses to broadcast."""


def test_train_slot_refuses_a_backward_pass_that_fails_and_shows_no_value() -> None:
    recipe = check(bare(POSITIVES))
    columns: dict[str, Any] = {"x": np.ones((4, 3), np.float32), "y": np.ones(4, np.float32)}
    with pytest.raises(RecipeRefused) as caught:
        train_slot(recipe, initial(recipe, bytes(4)), columns, seed=1, first_step=0)
    assert caught.value.code == "GRAPH_RUN"
    assert caught.value.message == "train graph, backward, does not run on these rows"
    assert caught.value.__suppress_context__
    assert not caught.value.got


def test_backward_pass_of_it_fails_in_torch() -> None:
    """The control: torch's own words tell shapes, and might tell values."""
    value = torch.ones((), requires_grad=True)
    made = torch.ops.aten.binary_cross_entropy_with_logits(value, torch.ones(4), None, None, 0)
    with pytest.raises(RuntimeError, match="broadcast shape"):
        torch.autograd.grad(made.sum(), [value])


def clipping(most: float | None) -> CheckedRecipe:
    return check(changed(lambda table: table.__setitem__("clip_norm", most)))


def test_train_slot_clips_gradients(recipe: CheckedRecipe, start: ModelState) -> None:
    after = {
        most: dump(train_slot(clipping(most), start, rows(20), seed=1, first_step=0))
        for most in (None, 1e6, 0.01)
    }
    assert after[None] == after[1e6]
    assert after[None] != after[0.01]


def test_train_slot_follows_the_schedule_by_the_global_step(start: ModelState) -> None:
    table = {"kind": "step", "every": 10, "factor": 0.0}
    recipe = check(changed(lambda t: t.__setitem__("schedule", table)))
    early = train_slot(recipe, start, rows(20), seed=1, first_step=0)
    late = train_slot(recipe, start, rows(20), seed=1, first_step=10)
    assert not torch.equal(early.parameters[0], start.parameters[0])
    assert torch.equal(late.parameters[0], start.parameters[0])


class _Witness(torch.autograd.Function):
    """Passes its argument on, and remembers on which thread the backward pass came by."""

    seen: list[int]

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ARG004  (torch's signature)
        value: torch.Tensor,
    ) -> torch.Tensor:
        return value.clone()

    @staticmethod
    def backward(
        ctx: Any,  # noqa: ARG004  (torch's signature)
        gradient: torch.Tensor,
    ) -> torch.Tensor:
        _Witness.seen.append(threading.get_ident())
        return gradient


@pytest.fixture
def witness() -> type[_Witness]:
    _Witness.seen = []
    return _Witness


def test_backward_runs_on_the_calling_thread(witness: type[_Witness]) -> None:
    """So that denormals, flushed for each thread apart, are flushed in the backward pass too."""
    value = torch.ones(3, requires_grad=True)
    made: torch.Tensor = witness.apply(value)
    torch.autograd.grad(made.sum(), [value])
    assert witness.seen == [threading.get_ident()]
