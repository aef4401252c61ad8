"""Replaying a plan: equal rounds, the first that differs, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from chiron_stream.errors import UsageRefused
from chiron_stream.graph import state
from chiron_stream.graph.batching import number_of_steps
from chiron_stream.graph.checked import CheckedRecipe
from chiron_stream.graph.training import train_slot
from chiron_stream.recipe.reference import parameters_sha256
from chiron_stream.recipe.replaying import Replayed, Spec, replay
from chiron_stream.wire.receipts import Plan, PlannedShard, PlannedSlot
from tests.unit.recipe.runs import merged

KINDS: Any = {
    "a": ("number", ()),
    "b": ("number", ()),
    "site": ("category", ()),
    "y": ("label", ()),
}
OWNER = bytes(32)
ROWS = 20


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.site = nn.Embedding(4, 3)
        self.out = nn.Linear(5, 2)

    def forward(self, x: torch.Tensor, site: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.out(torch.cat([x, self.site(site)], 1))
        return found


def make_spec() -> Spec:
    torch.manual_seed(3)
    return Spec(
        Net(),
        loss=nn.CrossEntropyLoss(),
        inputs={"x": ["a", "b"], "site": "site"},
        target="y",
        optimizer=partial(torch.optim.SGD, lr=0.1, momentum=0.9),
        batch_size=8,
    )


def rows_of(shard: PlannedShard) -> dict[str, Any]:
    generator = np.random.default_rng(shard.number)
    return {
        "a": generator.standard_normal(ROWS),
        "b": generator.standard_normal(ROWS).astype(np.float32),
        "site": generator.integers(0, 4, ROWS),
        "y": generator.integers(0, 2, ROWS),
    }


def planned(
    spec: Spec, count: int = 3, kinds: Any = KINDS, rows: Callable[..., Any] = rows_of
) -> list[Plan]:
    """Train by the worker's code, and write down what it did."""
    recipe = spec.export(kinds)
    model = state.initial(recipe.checked, recipe.weights)
    plans, step = [], 0
    for number in range(1, count + 1):
        shard = PlannedShard(OWNER, "d", number, ROWS)
        model = train_slot(recipe.checked, model, rows(shard), seed=number, first_step=step)
        digest = state.parameters_digest(model)
        slot = PlannedSlot(0, number, step, (shard,), ROWS, 3, "n", digest, digest)
        plans.append(Plan(number, number, bytes(32), digest, digest, (slot,)))
        step += 3
    return plans


def test_every_round_is_equal_to_the_workers() -> None:
    spec = make_spec()
    seen: list[Replayed] = []
    found = replay(spec, planned(spec), KINDS, rows_of, seen.append)
    assert [one.round for one in found] == [1, 2, 3]
    assert all(one.equal for one in found)
    assert seen == found


def test_module_of_each_round_is_shown_with_its_plan() -> None:
    spec = make_spec()
    shown: list[tuple[bytes, str]] = []

    def behind(plan: Plan, module: nn.Module) -> None:
        shown.append((plan.parameters, parameters_sha256(module)))

    plans = planned(spec)
    replay(spec, plans, KINDS, rows_of, behind=behind)
    assert shown == [(one.parameters, one.parameters.hex()) for one in plans]


class Words(nn.Module):
    """Whole numbers of a tensor column, and categories in a list."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(9, 3)
        self.sites = nn.Embedding(4, 3)
        self.out = nn.Linear(3, 2)

    def forward(self, text: torch.Tensor, sites: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.out(self.words(text).mean(1) + self.sites(sites).mean(1))
        return found


def words_of(shard: PlannedShard) -> dict[str, Any]:
    generator = np.random.default_rng(shard.number)
    text = generator.integers(0, 9, (ROWS, 5)).astype(np.uint8)
    return {**rows_of(shard), "text": text, "ward": generator.integers(0, 4, ROWS)}


def test_example_says_that_a_tensor_column_holds_whole_numbers() -> None:
    torch.manual_seed(4)
    spec = replace(
        make_spec(),
        module=Words(),
        inputs={"text": "text", "sites": ["site", "ward"]},
        example={"text": torch.zeros(2, 5, dtype=torch.int64)},
    )
    kinds: Any = {**KINDS, "text": ("tensor", (5,)), "ward": ("category", ())}
    plans = planned(spec, kinds=kinds, rows=words_of)
    assert all(one.equal for one in replay(spec, plans, kinds, words_of))
    inputs, target = spec.arrays(words_of(PlannedShard(OWNER, "d", 1, ROWS)), kinds)
    assert {one.dtype.name for one in (*inputs.values(), target)} == {"int64"}


def test_replay_leaves_the_module_as_it_was() -> None:
    spec = make_spec()
    before = [one.clone() for one in spec.module.parameters()]
    replay(spec, planned(spec), KINDS, rows_of)
    after = list(spec.module.parameters())
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_replay_stops_at_the_first_round_that_differs() -> None:
    spec = make_spec()
    plans = planned(spec)
    plans[1] = replace(plans[1], parameters=bytes(32))
    found = replay(spec, plans, KINDS, rows_of)
    assert [one.equal for one in found] == [True, False]


def test_one_other_value_shows_in_its_round() -> None:
    spec = make_spec()

    def altered(shard: PlannedShard) -> dict[str, Any]:
        rows = rows_of(shard)
        if shard.number == 3:
            rows["a"][7] += 0.001
        return rows

    assert [one.equal for one in replay(spec, planned(spec), KINDS, altered)] == [True, True, False]


def test_replay_refuses_rows_of_another_number() -> None:
    spec = make_spec()
    with pytest.raises(UsageRefused, match="other rows in round 1"):
        replay(spec, planned(spec), KINDS, lambda one: {"a": rows_of(one)["a"][:-1]})


# Rounds of several slots

SEVERAL = (((1, 2), (3,)), ((4,), (5, 6), (7,)), ((8,),), ((9, 1), (2,)))
"""Shards of each slot of each round: unequal rows, one round of one slot, shards used again."""


def planned_slots(spec: Spec) -> list[Plan]:
    """Train and merge by the workers' code, and write down what they did."""
    recipe = spec.export(KINDS).checked
    data = state.dump(state.initial(recipe, spec.export(KINDS).weights))
    plans, step = [], 0
    for number, shards in enumerate(SEVERAL, 1):
        made = [_slot(recipe, data, step, 10 * number + n, one) for n, one in enumerate(shards)]
        slots = tuple(slot for slot, _ in made)
        data = merged(recipe, data, [update for _, update in made], [slot.rows for slot in slots])
        step += max(slot.steps for slot in slots)
        digest = state.parameters_digest(state.load(recipe, data))
        plans.append(Plan(number, number, bytes(32), digest, digest, slots))
    return plans


def _slot(
    recipe: CheckedRecipe, base: bytes, step: int, seed: int, numbers: tuple[int, ...]
) -> tuple[PlannedSlot, bytes]:
    shards = tuple(PlannedShard(OWNER, "d", number, ROWS) for number in numbers)
    parts = [rows_of(shard) for shard in shards]
    rows = {name: np.concatenate([part[name] for part in parts]) for name in KINDS}
    before = state.load(recipe, base)
    model = train_slot(recipe, before, rows, seed=seed, first_step=step)
    count = ROWS * len(shards)
    steps = number_of_steps(count, recipe.definition.batch_size)
    digest = state.parameters_digest(model)
    slot = PlannedSlot(seed % 10, seed, step, shards, count, steps, "n", digest, digest)
    return slot, state.dump(model)


def test_rounds_of_several_slots_are_equal_to_the_workers() -> None:
    spec = make_spec()
    found = replay(spec, planned_slots(spec), KINDS, rows_of)
    assert [one.round for one in found] == [1, 2, 3, 4]
    assert all(one.equal for one in found)


@pytest.mark.parametrize(("number", "first"), [(3, 1), (7, 2), (9, 4)])
def test_one_row_of_one_slot_shows_first_in_its_round(number: int, first: int) -> None:
    spec = make_spec()

    def altered(shard: PlannedShard) -> dict[str, Any]:
        rows = rows_of(shard)
        if shard.number == number:
            rows["b"][ROWS - 1] += 0.001
        return rows

    found = replay(spec, planned_slots(spec), KINDS, altered)
    assert [one.equal for one in found] == [True] * (first - 1) + [False]
    assert found[-1].round == first


def test_slots_left_out_and_seeds_exchanged_show() -> None:
    """A plan that a coordinator falsified: which slots made a round is part of its bits."""
    spec = make_spec()
    plans = planned_slots(spec)
    left_out = replace(plans[1], slots=plans[1].slots[:-1])
    other_seeds = replace(
        plans[1],
        slots=tuple(
            replace(slot, seed=other.seed)
            for slot, other in zip(plans[1].slots, reversed(plans[1].slots), strict=True)
        ),
    )
    for changed in (left_out, other_seeds):
        found = replay(spec, [plans[0], changed, *plans[2:]], KINDS, rows_of)
        assert [one.equal for one in found] == [True, False]


def test_a_plan_so_far_is_equal_so_far() -> None:
    """Rounds of an open job: their numbers may have gaps, where all slots dropped out."""
    spec = make_spec()
    plans = [replace(one, round=2 * one.round) for one in planned_slots(spec)]
    for count in (1, 3):
        found = replay(spec, plans[:count], KINDS, rows_of)
        assert [(one.round, one.equal) for one in found] == [
            (2 * n, True) for n in range(1, count + 1)
        ]
