"""Rounds of four slots with 1, 2 and 5 trainers: who trains a slot changes no bit of the job."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import nullcontext

import pytest

from chiron_stream.recipe import Recipe
from chiron_stream.wire.receipts import Plan
from enclave_workers.core import membership
from enclave_workers.core.trainer import shell
from enclave_workers.local import LocalJob
from tests.local import jobs

TRAINERS = (1, 2, 5)
ROWS = {"alice": 170, "anna": 120}
"""Slots of 50, 50, 50 and 20, and of 50, 50 and 20 rows: rounds of 4 and of 3 slots."""

TERMS = jobs.terms(
    schedule={"slots": 4, "shards_per_slot": 1, "passes": 3}, seed="the same slots every time"
)


def publish(job: LocalJob, recipe: Recipe) -> None:
    job.provider().publish(recipe)
    for owner, count in ROWS.items():
        jobs.publish(job, owner, count)


def trained(recipe: Recipe, trainers: int) -> Iterator[LocalJob]:
    workers = {"coordinator": 1, "trainer": trainers, "predictor": 1}
    with LocalJob(TERMS, workers=workers) as job:
        publish(job, recipe)
        jobs.finish(job)
        yield job


def bits(job: LocalJob) -> list[tuple[str, str, list[str]]]:
    """Return digests of every round's base, parameters and slots."""
    return [
        (plan.base.hex(), plan.parameters.hex(), [slot.result.hex() for slot in plan.slots])
        for plan in jobs.plans(job)
    ]


def slots(plans: list[Plan]) -> list[int]:
    return [len(plan.slots) for plan in plans]


@pytest.fixture(scope="module")
def alone(recipe: Recipe) -> Iterator[LocalJob]:
    yield from trained(recipe, 1)


def test_parameters_are_those_of_plain_pytorch(alone: LocalJob) -> None:
    assert slots(jobs.plans(alone)) == [4, 3] * 3
    assert jobs.same_bits(alone, ROWS)


def test_slots_of_a_round_are_written_to_partitions_of_their_own(alone: LocalJob) -> None:
    counts = [len(jobs.records(alone, "update-chunks", n)) for n in range(8)]
    assert counts == [6, 6, 6, 3, 0, 0, 0, 0]


@pytest.mark.parametrize("trainers", [2, 5])
def test_more_trainers_come_to_the_same_bits(
    alone: LocalJob, recipe: Recipe, trainers: int
) -> None:
    for job in trained(recipe, trainers):
        assert bits(job) == bits(alone)
        assert jobs.same_bits(job, ROWS)
        assert jobs.all_alive(job)
        assert job.client("carol").predict(jobs.ABOVE).value == "above"


def test_trainers_that_do_not_take_turns_differ(
    alone: LocalJob, recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: dropout draws from the process's one generator."""
    at_work = membership.Membership.at_work

    def slowly(self: membership.Membership, task: bytes, step: int) -> None:
        at_work(self, task, step)
        time.sleep(0.005)  # another thread goes on

    monkeypatch.setattr(membership.Membership, "at_work", slowly)
    monkeypatch.setattr(shell, "_GENERATOR", nullcontext())
    for job in trained(recipe, 5):
        assert bits(job) != bits(alone)
