"""Two trainers at work who stand still past their leases, leave and die: nothing shows."""

from __future__ import annotations

import random
import time
from itertools import cycle
from signal import SIGKILL, SIGTERM
from typing import Final

import pytest

from chiron_stream import Recipe
from tests.crash import jobs
from tests.crash.judging import Judged
from tests.crash.killing import CrashedJob, send
from tests.crash.orders import Order
from tests.crash.parties import (
    Members,
    NewJob,
    assert_every_end_was_ordered,
    assert_nothing_shows,
    count,
)
from tests.crash.waiting import wait_for
from tests.faults.members import PASSES, SLOTS, TRAINERS, at_work

pytestmark = [pytest.mark.kafka, pytest.mark.faults, pytest.mark.timeout(400)]

STOPS: Final = (
    Order("read.after", topic="shards", stop=True),
    Order("append.before", topic="update-chunks", stop=True),
    Order("append.before", topic="updates", stop=True),
    Order("append.sent", topic="updates", stop=True),
)
"""Before a slot is trained, before its update is out, and before and behind its report."""

FIRST_REPORT: Final = Order("append.before", topic="updates", stop=True)

STORM_SECONDS: Final = 25
STORM_TRAINERS: Final = 4
SIGNALS: Final = {"left": SIGTERM, "died": SIGKILL}


def test_trainer_stopped_past_its_lease_is_done_without_and_comes_back(
    new_job: NewJob, recipe: Recipe, other: Judged
) -> None:
    job = new_job(PASSES, SLOTS, TRAINERS)
    with at_work(job, recipe) as (members, asker):
        job.until(lambda: job.members == TRAINERS + 1, "everybody is there")
        for worker, order in zip(cycle(job.trainers), STOPS, strict=False):
            job.stop(worker, order)
            wait_for(lambda: job.members == TRAINERS, f"{worker} is lost")
            job.goes_on(f"{order} of {worker}")
            job.go_on(worker)
            job.until(lambda: job.members == TRAINERS + 1, f"{worker} is back")
        assert_nothing_shows(job, members, asker, other, boots=1)
    assert_every_end_was_ordered(job)


def test_results_of_trainers_that_were_all_stopped_count_late(
    new_job: NewJob, recipe: Recipe, other: Judged
) -> None:
    job = new_job(PASSES, SLOTS, TRAINERS)
    with Members(job) as members:
        members.provide(recipe)
        members.publish(jobs.OWNERS[0])
        wait_for(lambda: all(map(job.ready, job.trainers)), "both trainers are there")
        for worker in job.trainers:
            job.orders(worker).give(FIRST_REPORT)
        members.publish(jobs.OWNERS[1])
        for worker in job.trainers:
            wait_for(lambda one=worker: bool(job.stops.all(one)), f"{worker} stands")  # type: ignore[misc]
        wait_for(lambda: job.progress()["waiting_for"] == "trainer", "nobody is left")
        for worker in job.trainers:
            job.go_on(worker)
        asker = members.asker()
        assert_nothing_shows(job, members, asker, other, boots=1)
    assert_every_end_was_ordered(job)
    # Each slot was reported once. One of the two that were late may have been leased again.
    assert count(job.directory, "updates") - PASSES * jobs.SLOTS_PER_PASS in (0, 1)


@pytest.mark.parametrize("seed", [0])
def test_trainers_that_leave_and_join_each_second_change_no_bit(
    new_job: NewJob, recipe: Recipe, other: Judged, seed: int
) -> None:
    chance = random.Random(seed)
    job = new_job(PASSES, SLOTS, STORM_TRAINERS)
    with at_work(job, recipe) as (members, asker):
        before = job.version
        struck = storm(job, chance)
        print(f"seed {seed}: {struck} in the storm, {job.version - before} rounds meanwhile")
        job.goes_on(f"the storm of seed {seed}")
        assert_nothing_shows(job, members, asker, other, boots=1)
    assert all(service.final_code is None for service in job.running.services.values())
    assert job.endings.codes[job.coordinator] == []


def storm(job: CrashedJob, chance: random.Random) -> dict[str, int]:
    """Once a second let a trainer leave or die; each comes back by itself a second later."""
    struck = dict.fromkeys(SIGNALS, 0)
    began = time.monotonic()
    for second in range(STORM_SECONDS):
        job.pace.allow()
        worker = chance.choice(job.trainers)
        how = chance.choice(list(SIGNALS))
        processes = job.processes(worker)
        if processes:
            send(processes[:1] if how == "left" else processes, SIGNALS[how])
            struck[how] += 1
        time.sleep(max(0.0, began + second + 1 - time.monotonic()))  # the beat of the storm
    return struck
