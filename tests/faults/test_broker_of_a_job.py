"""The broker of a job with two trainers at work is killed, stopped and frozen in mid-round.

The gate kills the leader of three nodes, and lets one node end in order, start again and stand
still. One node killed -9 can itself forget a marker (docs/decisions/0005): a soak.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from chiron_stream import Recipe
from chiron_stream.broker.kafka import KafkaBroker
from chiron_stream.broker.local import LocalKafka
from chiron_stream.broker.records import Partition
from chiron_stream.local import services
from tests.crash.judging import Judged
from tests.crash.killing import PREDICTOR, CrashedJob
from tests.crash.orders import Order
from tests.crash.parties import assert_nothing_shows, new_jobs
from tests.crash.recoveries import Recovery, report
from tests.faults.members import PASSES, SLOTS, TRAINERS, at_work
from tests.faults.processes import frozen
from tests.faults.test_broker_killed import leader_of

pytestmark = [pytest.mark.kafka, pytest.mark.faults, pytest.mark.timeout(600)]

LIMIT: Final = 120.0
"""Seconds until a node is back, and from then on until a round: behind time-outs and new starts."""

NODES: Final = 3
KILLS: Final = 10

UNREPORTED: Final = Order("append.before", topic="updates", stop=True)
"""A trainer that stands still with its result at hand: the round is open as long as it does."""


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "LONGEST_BACKOFF", services.FIRST_BACKOFF)


@pytest.fixture
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("b")


def in_mid_round(job: CrashedJob, what: str, act: Callable[[], None]) -> None:
    """Do something to the broker while a round is open, and see that the job goes on."""
    job.stop(job.trainers[0], UNREPORTED)
    at = time.time()
    act()
    job.go_on(job.trainers[0])
    job.goes_on(what, LIMIT)
    seconds = round(time.time() - at, 2)
    print(f"{what}: going on after {seconds:.1f} s, version {job.version}", flush=True)
    job.recoveries.append(Recovery("broker", what, "broker", "", seconds))


def ends_well(job: CrashedJob) -> int:
    """See that no worker gave up for good; return how many boots of the predictor there were."""
    assert {name: one.final_code for name, one in job.running.services.items()} == dict.fromkeys(
        job.running.services
    )
    return job.running.services[PREDICTOR].starts


def test_leader_of_three_killed_in_mid_round_shows_nowhere(
    place: Path, recipe: Recipe, other: Judged
) -> None:
    with (
        LocalKafka(place / "kafka", count=NODES, heap_mb=384) as cluster,
        KafkaBroker(cluster.bootstrap_servers) as broker,
        new_jobs(place / "j", cluster.bootstrap_servers) as new_job,
    ):
        job = new_job(PASSES, SLOTS, TRAINERS)
        with at_work(job, recipe) as (members, asker):
            for topic in ("journal", "updates"):
                name = f"chiron.{job.job.policy.name}.{topic}"
                number = leader_of(broker, Partition(name, 0))
                in_mid_round(job, f"leader of {topic}", lambda one=number: cluster.kill(one))  # type: ignore[misc]
                with job.held_back(*job.trainers):
                    cluster.restart(number, LIMIT)
            assert_nothing_shows(job, members, asker, other, ends_well(job))
        report(job.recoveries)


def test_one_node_ended_and_frozen_in_mid_round_shows_nowhere(
    place: Path, recipe: Recipe, other: Judged
) -> None:
    with (
        LocalKafka(place / "kafka") as node,
        new_jobs(place / "j", node.bootstrap_servers) as new_job,
    ):
        job = new_job(PASSES, SLOTS, TRAINERS)
        with at_work(job, recipe) as (members, asker):
            in_mid_round(job, "end and start of one node", lambda: node.restart(timeout=LIMIT))
            in_mid_round(job, "one node that stood still", lambda: freeze(node))
            assert_nothing_shows(job, members, asker, other, ends_well(job))


def freeze(node: LocalKafka) -> None:
    with frozen(node):
        time.sleep(3)  # that nobody gets an answer is the point


@pytest.mark.soak
def test_one_node_killed_in_mid_round_shows_nowhere(
    place: Path, recipe: Recipe, other: Judged
) -> None:
    def strike() -> None:
        node.kill()
        node.restart(timeout=LIMIT)

    with (
        LocalKafka(place / "kafka") as node,
        new_jobs(place / "j", node.bootstrap_servers) as new_job,
    ):
        job = new_job(PASSES, SLOTS, TRAINERS)
        with at_work(job, recipe) as (members, asker):
            for number in range(KILLS):
                in_mid_round(job, f"kill {number} of one node", strike)
            assert_nothing_shows(job, members, asker, other, ends_well(job))
