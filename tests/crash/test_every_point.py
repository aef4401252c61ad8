"""Every process is killed -9 at every crash point, one by one, and nothing shows in the results.

Two jobs of the same terms, each with two trainers at work on rounds of two slots: one for the
coordinator, one for trainers, who die in turn, and predictor. Each is compared with a run that
nobody disturbed and with plain PyTorch. The control is a coordinator that releases the head of a
version before its chunks, in a job of one trainer, whom it serves well as long as nobody dies: the
same judge finds it out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import cycle
from typing import Final

import pytest

from chiron_stream import Recipe
from chiron_stream.broker.local import LocalKafka
from chiron_stream.local import services
from enclave_workers.courier.effects import POINTS
from tests.crash import jobs
from tests.crash.judging import Judged, judge
from tests.crash.killing import COORDINATOR, PREDICTOR, TRAINER, CrashedJob
from tests.crash.orders import VICTIMS, Order
from tests.crash.parties import (
    Members,
    NewJob,
    assert_died,
    assert_every_end_was_ordered,
    assert_nothing_shows,
    new_jobs,
    undisturbed,
)
from tests.crash.recoveries import report
from tests.crash.waiting import LIMIT, Stuck, wait_for

pytestmark = [pytest.mark.kafka, pytest.mark.faults, pytest.mark.timeout(1200)]

PASSES: Final = 120
SLOTS: Final = 2
TRAINERS: Final = 2
CONTROL_SECONDS: Final = 25.0
"""Until the control counts as stuck: more than twice what an honest job needs."""

WITHOUT: Final[Mapping[str, tuple[str, ...]]] = {
    COORDINATOR: ("consume", "settle"),
    TRAINER: ("writer", "commit", "newest", "consume", "settle"),
    PREDICTOR: ("writer", "commit", "newest", "relay", "status"),
}
"""The effects that a worker does not have: nobody but a coordinator has a writer and a journal, and
nobody but a predictor shares a topic. What a predictor does at its start as a trainer does, is left
to the trainer: each of a predictor's deaths costs its group a time-out."""

REACHED: Final = {
    worker: tuple(point for point in POINTS if point.partition(".")[0] not in without)
    for worker, without in WITHOUT.items()
}
"""The points that each worker can reach."""

AT_START: Final = ("writer", "newest", "relay", "consume")
"""Effects that a worker has at its start alone."""

TOPICS: Final = {
    (COORDINATOR, "append"): ("coordinator-chunks", "coordinator-chunks"),
    (COORDINATOR, "commit"): ("versions", "versions"),
    (COORDINATOR, "read"): ("update-chunks", "update-chunks"),
    (TRAINER, "append"): ("update-chunks", "updates"),
    (TRAINER, "read"): ("shards", "shards"),
    (PREDICTOR, "append"): ("answers", "workers"),
    (PREDICTOR, "read"): ("coordinator-chunks", "coordinator-chunks"),
}
"""What the effect is about when the courier dies, and when its core does."""

RESTART: Final = Order("poll.before")
"""What lets a process come to the points that it passes only at its start."""

LAST_REPORT: Final = Order("append.before", "core", "updates")
"""A trainer that dies while its last report leaves its courier."""


def effect_of(order: Order) -> str:
    return order.point.partition(".")[0]


def on_the_way(worker: str, order: Order) -> tuple[Order, ...]:
    """Return the orders that let a worker come to the point of another order, and that one.

    Trainers and predictors tell of themselves at their start alone.
    """
    told = worker != COORDINATOR and effect_of(order) == "status"
    return (RESTART, order) if told or effect_of(order) in AT_START else (order,)


def planned(worker: str) -> list[Order]:
    """Return an order for each point that a worker reaches and each victim."""
    return [
        Order(point, victim, TOPICS.get((worker, point.partition(".")[0]), ("", ""))[place])
        for point in REACHED[worker]
        for place, victim in enumerate(VICTIMS)
    ]


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """However often a process died, it is started again as after its first death."""
    monkeypatch.setattr(services, "LONGEST_BACKOFF", services.FIRST_BACKOFF)


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return jobs.export()


@pytest.fixture(scope="module")
def other(recipe: Recipe) -> Judged:
    """What the same terms come to when nobody dies."""
    return undisturbed(recipe, PASSES, SLOTS)


@pytest.fixture
def new_job(kafka: LocalKafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[NewJob]:
    with new_jobs(tmp_path_factory.mktemp("c"), kafka.bootstrap_servers) as make:
        yield make


def test_every_point_is_reached_by_some_worker() -> None:
    assert {point for points in REACHED.values() for point in points} == set(POINTS)


def test_coordinator_killed_at_every_point_shows_nowhere(
    new_job: NewJob, recipe: Recipe, other: Judged
) -> None:
    job = new_job(PASSES, SLOTS, TRAINERS)
    with Members(job) as members:
        kill_while_publishing(job, members, recipe)
        asker = members.asker()
        for order in planned(COORDINATOR):
            job.kill(COORDINATOR, *on_the_way(COORDINATOR, order))
        for order in (
            Order("commit.before", topic="authority"),
            Order("commit.sent", topic="authority"),
            Order("commit.after", topic="authority"),
            Order("read.after", topic="journal"),
        ):
            job.kill(COORDINATOR, RESTART, order)
        job.kill(COORDINATOR, Order("commit.sent", topic="sessions"))
        job.kill(COORDINATOR, Order("commit.after", topic="sessions"))
        kill_both_in_one_round(job)
        assert_nothing_shows(job, members, asker, other, boots=1)
    assert_every_end_was_ordered(job)
    assert_died(job, [COORDINATOR], planned(COORDINATOR))
    report(job.recoveries)


def kill_while_publishing(job: CrashedJob, members: Members, recipe: Recipe) -> None:
    """Kill the coordinator around the import, and while it accepts what owners announce."""
    died = job.order(
        COORDINATOR,
        Order("append.before", topic="coordinator-chunks"),
        Order("append.after", "core", "coordinator-chunks"),
    )
    members.provide(recipe)
    died()
    for owner, order in zip(
        jobs.OWNERS,
        (Order("commit.sent", topic="replies"), Order("commit.after", "core", "replies")),
        strict=True,
    ):
        died = job.order(COORDINATOR, order)
        members.publish(owner)
        died()


def kill_both_in_one_round(job: CrashedJob, limit: float = LIMIT) -> None:
    """Kill a trainer, and the coordinator behind the commit of that trainer's last report.

    The version at hand is then in nobody's memory: the next trainer reads it from its chunks.
    """
    before = len(job.deaths.all(TRAINER))
    last = Order("commit.after", topic="versions", behind=(TRAINER, before))
    died = job.order(COORDINATOR, last)
    job.order(TRAINER, LAST_REPORT)()
    died()
    job.goes_on("the death of both", limit)


def test_trainer_and_predictor_killed_at_every_point_show_nowhere(
    new_job: NewJob, recipe: Recipe, other: Judged
) -> None:
    job = new_job(PASSES, SLOTS, TRAINERS)
    with Members(job) as members:
        members.provide(recipe)
        for owner in jobs.OWNERS:
            members.publish(owner)
        asker = members.asker()
        wait_for(lambda: asker.answered(0), "the first answer")
        workers, trainers, predictors = cycle(job.trainers), planned(TRAINER), planned(PREDICTOR)
        for turn in range(max(len(trainers), len(predictors))):
            trainer = on_the_way(TRAINER, trainers[turn % len(trainers)])
            predictor = on_the_way(PREDICTOR, predictors[turn % len(predictors)])
            job.kill_both(next(workers), trainer, predictor, asker)
        boots = 1 + len(job.deaths.all(PREDICTOR))
        assert_nothing_shows(job, members, asker, other, boots)
    assert_every_end_was_ordered(job)
    assert_died(job, job.trainers, planned(TRAINER))
    assert_died(job, [PREDICTOR], planned(PREDICTOR))
    report(job.recoveries)


def test_version_whose_head_went_before_its_chunks_is_found_out(
    new_job: NewJob, recipe: Recipe
) -> None:
    job = new_job(PASSES, core="tests.crash.core_head_first")
    with Members(job) as members:
        members.provide(recipe)
        for owner in jobs.OWNERS:
            members.publish(owner)
        wait_for(lambda: job.version > 2, "the first rounds: without deaths it goes well")
        with pytest.raises(Stuck, match="the death of both"):
            kill_both_in_one_round(job, CONTROL_SECONDS)
        rejected = judge(job.directory, members.publications, []).rejected
        assert ("tasks", "CHUNK_MISSING") in rejected
