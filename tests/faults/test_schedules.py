"""Seeded schedules that mix all faults: whatever is drawn, nothing shows.

``CHIRON_FAULT_SEEDS=17,18 pytest tests/faults/test_schedules.py`` plays these seeds again.
"""

from __future__ import annotations

import os
from typing import Any, Final

import pytest

from chiron_stream import Recipe
from chiron_stream.broker.local import LocalKafka
from tests.crash.judging import Judged
from tests.crash.killing import PREDICTOR
from tests.crash.parties import NewJob, assert_nothing_shows
from tests.faults.members import PASSES, SLOTS, TRAINERS, at_work
from tests.faults.schedules import Schedule

pytestmark = [pytest.mark.kafka, pytest.mark.faults, pytest.mark.timeout(600)]

SEEDS: Final = range(3)
MORE_SEEDS: Final = range(3, 30)
"""For ``make soak``."""


def seeds() -> list[Any]:
    """Return the seeds to play: those that are asked for, or a few, and more as a soak."""
    asked = os.environ.get("CHIRON_FAULT_SEEDS")
    if asked:
        return [int(one) for one in asked.split(",")]
    return [*SEEDS, *(pytest.param(one, marks=pytest.mark.soak) for one in MORE_SEEDS)]


@pytest.mark.parametrize("seed", seeds())
def test_faults_of_a_seed_show_nowhere(
    kafka: LocalKafka, new_job: NewJob, recipe: Recipe, other: Judged, seed: int
) -> None:
    job = new_job(PASSES, SLOTS, TRAINERS)
    schedule = Schedule(seed, job, kafka)
    try:
        with at_work(job, recipe) as (members, asker):
            schedule.play()
            job.goes_on(f"the schedule of seed {seed}")
            boots = job.running.services[PREDICTOR].starts
            assert_nothing_shows(job, members, asker, other, boots)
        final = {name for name, one in job.running.services.items() if one.final_code is not None}
        assert final == set(schedule.fenced)
    except BaseException:
        print(f"CHIRON_FAULT_SEEDS={seed} plays this again: {'; '.join(schedule.done)}")
        raise
