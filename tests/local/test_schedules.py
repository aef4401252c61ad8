"""Trainers that join, die and stand still, by seeded schedules: one outcome.

A schedule is a function of its seed, and its moves come behind rounds of the job, not times. The
seed of a failing one stands in the test's name: ``pytest -k 'schedule and 17'`` replays it.
"""

from __future__ import annotations

import random
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest

from chiron_stream.clients.publication import Publication
from chiron_stream.recipe import Recipe
from chiron_stream.wire.courier import Progress
from enclave_workers.core import membership
from enclave_workers.core.coordinator import presence, rounds
from enclave_workers.local import LocalJob
from tests.crash.judging import Outcome, judge, uses
from tests.local import jobs
from tests.local.stalling import StallingBroker

SEEDS = range(20)
COUNTS = {"alice": 120, "anna": 70}
"""Slots of 50, 50 and 20, and of 50 and 20 rows: rounds of 4 slots and of 1."""

PASSES = 3
ROUNDS = 2 * PASSES
BEAT, LOST = 0.08, 0.4
"""Seconds, in place of 1 and 6. What depends on them is who trains, never what: too short for a
busy machine, they take more leases away than the schedule means to."""

STALL = 1.5 * LOST
KINDS = ("join", "kill", "stall", "stall with an update")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(membership, "HEARTBEAT_SECONDS", BEAT)
    monkeypatch.setattr(presence, "LOST_AFTER", LOST)


@dataclass(frozen=True)
class Move:
    """Behind the begin of a round, something happens to one of the trainers at work."""

    round: int
    what: str
    which: float


def schedule(seed: int) -> tuple[int, list[Move]]:
    """Return how many trainers begin, and the moves in order; at least one kills or stalls."""
    dice = random.Random(seed)
    kinds = [dice.choice(KINDS[1:]), *dice.choices(KINDS, k=dice.randint(1, 2))]
    dice.shuffle(kinds)
    when = sorted(dice.randint(1, ROUNDS) for _ in kinds)
    moves = [Move(number, what, dice.random()) for number, what in zip(when, kinds, strict=True)]
    return dice.randint(1, 3), moves


class Crew:
    """The trainers of one job; leaving it lets all of them go on."""

    def __init__(self, job: LocalJob, trainers: int) -> None:
        self._job = job
        self._stack = ExitStack()
        self.at_work: dict[str, StallingBroker] = {}
        for _ in range(trainers):
            self.join()

    def join(self) -> StallingBroker:
        broker = StallingBroker(self._job.broker.cluster)
        self._stack.callback(broker.go_on)
        self.at_work[self._job.start_worker("trainer", broker)] = broker
        return broker

    def make(self, move: Move) -> None:
        """Make a move; somebody always stays or comes."""
        name, broker = list(self.at_work.items())[int(move.which * len(self.at_work))]
        if move.what == "kill":
            self._job.kill(name)
            del self.at_work[name]
        elif move.what == "stall":
            broker.stall(STALL)
        elif move.what == "stall with an update":
            broker.stall_before("updates", STALL)
        if move.what == "join" or not self.at_work:
            self.join()

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *_error: object) -> None:
        self._stack.close()


def begun(number: int, status: Progress) -> bool:
    return status.round >= number


def working(count: int, status: Progress) -> bool:
    return status.workers == count


def publish(job: LocalJob, recipe: Recipe) -> dict[str, Publication]:
    job.provider().publish(recipe)
    return {owner: jobs.publish(job, owner, count) for owner, count in COUNTS.items()}


def outcome(job: LocalJob, crew: Crew, publications: dict[str, Publication]) -> Outcome:
    """Wait for the end and return what the job came to; nobody was refused anything."""
    for publication in publications.values():
        publication.wait("trained", 60)
    jobs.finish(job)
    judged = judge(job.directory, publications, [], job.broker)
    assert [job.workers[name].error for name in crew.at_work] == [None] * len(crew.at_work)
    assert judged.rejected == []
    return judged.outcome


def run(recipe: Recipe, trainers: int, moves: list[Move]) -> Outcome:
    """Train by a schedule."""
    terms = jobs.terms(
        schedule={"slots": 4, "shards_per_slot": 1, "passes": PASSES}, seed="the same every time"
    )
    with LocalJob(terms, workers={"coordinator": 1}) as job, Crew(job, trainers) as crew:
        publications = publish(job, recipe)
        for move in moves:
            job.wait(partial(begun, move.round), timeout=60)
            crew.make(move)
        found = outcome(job, crew, publications)
        assert jobs.same_bits(job, COUNTS)
        return found


@pytest.fixture(scope="module")
def calm(recipe: Recipe) -> Outcome:
    """What one trainer comes to that nothing happens to."""
    return run(recipe, 1, [])


def test_calm_job_uses_every_shard_once_in_each_pass(calm: Outcome) -> None:
    assert [len(plan["slots"]) for plan in calm.plans] == [4, 1] * PASSES
    assert set(uses(calm).values()) == {PASSES}
    assert len(uses(calm)) == 5


@pytest.mark.parametrize("seed", SEEDS)
def test_schedule_comes_to_the_outcome_of_a_calm_job(
    seed: int, calm: Outcome, recipe: Recipe
) -> None:
    trainers, moves = schedule(seed)
    print(f"seed {seed}: {trainers} trainers, then {moves}")
    found = run(recipe, trainers, moves)
    assert found.plans == calm.plans
    assert found.checkpoints == calm.checkpoints
    assert found.receipts == calm.receipts
    assert uses(found) == uses(calm)


def test_update_that_comes_late_is_compared_with_that_of_another_and_agrees(
    recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a stall does, step by step: the lease ends, another trains, the first comes back."""
    late: list[bool] = []
    compare = rounds._compare

    def comparing(*given: Any) -> None:
        late.append(given[2] == given[3].digest)
        compare(*given)

    monkeypatch.setattr(rounds, "_compare", comparing)
    terms = jobs.terms(schedule={"slots": 5, "shards_per_slot": 1, "passes": 1})
    with LocalJob(terms, workers={"coordinator": 1}) as job, Crew(job, 1) as crew:
        (first,) = crew.at_work.values()
        first.stall_before("updates", 60.0)
        publications = publish(job, recipe)
        job.wait(partial(working, 1))
        job.wait(partial(working, 0))
        assert first.stalls == 1
        crew.join()
        outcome(job, crew, publications)
        assert late == []
        first.go_on()
        job.wait(partial(working, 2))
        assert late == [True]
        assert jobs.same_bits(job, COUNTS)
