"""Rounds of several slots: merged states have the bits of the reference loop, round after round."""

from __future__ import annotations

import copy
from dataclasses import replace
from functools import cache, partial
from itertools import pairwise

import pytest
import torch
from torch import nn

from chiron_stream.graph.schedules import Constant
from chiron_stream.recipe import Recipe, Round, parameters_sha256, reference_loop
from chiron_stream.recipe.settings import OptimizerFactory
from tests.unit.recipe import models
from tests.unit.recipe.runs import NUMBERS, Case, Rounds, seeded
from tests.unit.recipe.test_networks import CASES as NETWORKS

SGD, ADAM, ADAMW = torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW
FEW: Rounds = (((9, 31), (5, 32)), ((3, 33), (2, 34), (13, 35)), ((6, 36),), ((4, 37), (7, 38)))
"""Slots of unequal rows and steps; a round of one slot between rounds of several."""

MANY: Rounds = (((65, 11), (7, 12), (33, 13)), ((2, 14), (48, 15)), ((31, 16),), ((9, 17), (5, 18)))
HEAVY = partial(SGD, lr=0.05, momentum=0.9, weight_decay=1e-4)
OPTIMIZERS: dict[str, OptimizerFactory] = {
    "SGD": partial(SGD, lr=0.05),
    "momentum": HEAVY,
    "dampened": partial(SGD, lr=0.05, momentum=0.8, dampening=0.1),
    "Nesterov": partial(SGD, lr=0.05, momentum=0.9, nesterov=True),
    "Adam": partial(ADAM, lr=1e-2, weight_decay=1e-2),
    "AdamW": partial(ADAMW, lr=1e-2),
}
X = {"x": list(NUMBERS)}
CASES = {
    **{name: replace(case, several=FEW) for name, case in NETWORKS.items()},
    "ResNet-18, momentum": replace(NETWORKS["ResNet-18"], several=FEW, optimizer=HEAVY),
    **{
        f"tabular, {name}": replace(NETWORKS["tabular"], several=MANY, optimizer=optimizer)
        for name, optimizer in OPTIMIZERS.items()
    },
    "frozen and unused": Case(
        seeded(models.Frozen), nn.CrossEntropyLoss(), HEAVY, X, "y", several=MANY
    ),
}


@cache
def exported(name: str) -> Recipe:
    return CASES[name].export()


@pytest.mark.parametrize("name", CASES)
def test_merged_slots_have_the_bits_of_the_reference_loop(name: str) -> None:
    case = CASES[name]
    assert case.ours(exported(name)) == case.theirs()


def test_comparison_notices_another_seed_of_one_slot() -> None:
    """The control."""
    case = CASES["tabular, momentum"]
    first, *rest = MANY
    other = replace(case, several=((first[0], first[1], (33, 99)), *rest))
    assert case.theirs() != other.theirs()


def test_values_are_averaged_by_rows_in_float64_and_rounded_once() -> None:
    case = CASES["tabular, AdamW"]
    slots = (33, 1), (7, 2), (20, 3)
    merged = replace(case, several=(slots,)).trained().state_dict()
    alone = [replace(case, several=((one,),)).trained().state_dict() for one in slots]
    for name, found in merged.items():
        a, b, c = (one[name] for one in alone)
        if name.endswith("num_batches_tracked"):
            assert found == max(a, b, c)
            continue
        average = (33 * a.double() + 7 * b.double() + 20 * c.double()) / 60
        assert torch.equal(found, average.float())


def test_next_round_begins_behind_the_largest_number_of_steps() -> None:
    asked: list[int] = []

    class Noting(Constant):
        def at(self, step: int) -> float:
            asked.append(step)
            return 1.0

    case = CASES["tabular, SGD"]
    rounds = [Round([case.slot(*one) for one in slots], 4) for slots in MANY[:2]]
    reference_loop(copy.deepcopy(case.module), case.loss, case.optimizer, Noting(), rounds)
    begun = [after for before, after in pairwise(asked) if after != before + 1]
    assert (asked[0], begun) == (0, [0, 0, 16, 16])


def test_rounds_of_one_slot_are_one_plain_loop() -> None:
    """Nothing is copied or made anew between them: one optimizer, one scheduler, written out."""
    case = replace(NETWORKS["tabular"], slots=((32, 1), (8, 2)))
    module = copy.deepcopy(case.module).train()
    optimizer = case.optimizer(module.parameters())
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, case.schedule.at)
    for slot in (case.slot(*one) for one in case.slots):
        torch.manual_seed(slot.seed)
        order = torch.randperm(len(slot.target), generator=torch.Generator().manual_seed(slot.seed))
        for chosen in torch.split(order, case.batch_size):
            optimizer.zero_grad()
            batch = {name: torch.tensor(array)[chosen] for name, array in slot.inputs.items()}
            case.loss(module(**batch), torch.tensor(slot.target)[chosen]).backward()
            optimizer.step()
            scheduler.step()
    assert parameters_sha256(module) == parameters_sha256(case.trained())
