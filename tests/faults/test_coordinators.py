"""A coordinator that stands still: it goes on by itself, or finds its successor and ends FENCED."""

from __future__ import annotations

import time
from typing import Final

import pytest

from chiron_stream import Recipe
from chiron_stream.clients.observer import Observer
from tests.crash.judging import Judged
from tests.crash.killing import CrashedJob
from tests.crash.orders import Order
from tests.crash.parties import NewJob, assert_every_end_was_ordered, assert_nothing_shows
from tests.crash.waiting import wait_for
from tests.faults.members import PASSES, SLOTS, TRAINERS, at_work

pytestmark = [pytest.mark.kafka, pytest.mark.faults, pytest.mark.timeout(400)]

SILENCE: Final = 8.0
"""Seconds; a worker is lost after 6 s without a sign of life."""

FENCED: Final = 9

IN_A_COMMIT: Final = (
    Order("commit.before", topic="versions", stop=True),
    Order("commit.sent", topic="versions", stop=True),
    Order("commit.after", topic="versions", stop=True),
)


def test_coordinator_stopped_past_the_leases_goes_on_where_it_stood(
    new_job: NewJob, recipe: Recipe, other: Judged
) -> None:
    job = new_job(PASSES, SLOTS, TRAINERS)
    with at_work(job, recipe) as (members, asker):
        for order in (*IN_A_COMMIT, Order("read.after", topic="update-chunks", stop=True)):
            job.stop(job.coordinator, order)
            time.sleep(SILENCE)  # that nobody hears of it is the point
            job.go_on(job.coordinator)
            job.goes_on(f"{order} of the coordinator")
        assert_nothing_shows(job, members, asker, other, boots=1)
    assert_every_end_was_ordered(job)


def test_coordinator_with_a_successor_ends_fenced_wherever_it_stood(
    new_job: NewJob, recipe: Recipe, other: Judged
) -> None:
    job = new_job(PASSES, SLOTS, TRAINERS)
    with at_work(job, recipe) as (members, asker):
        for order in IN_A_COMMIT:
            first = job.coordinator
            job.stop(first, order)
            job.succeed()
            job.goes_on(f"the successor of {first}")
            job.go_on(first)
            assert_ends_fenced(job, first)
            job.goes_on(f"the end of {first}")
        with Observer(job.job) as observer:
            assert observer.look().epoch == 1 + len(IN_A_COMMIT)
        assert_nothing_shows(job, members, asker, other, boots=1)
    assert job.endings.codes[job.coordinator] == []


def assert_ends_fenced(job: CrashedJob, worker: str) -> None:
    """Wait until a coordinator has ended for good, and see why."""
    service = job.running.services[worker]
    wait_for(lambda: service.final_code is not None, f"{worker} has ended")
    assert (service.final_code, service.starts) == (FENCED, 1)
    assert job.endings.codes[worker] == [FENCED]
    assert "[FENCED]" in (job.directory.run / f"{worker}.log").read_text()
