"""Every process is killed -9 at every crash point, one by one, and nothing shows in the results.

Two jobs of the same terms, one for the coordinator and one for trainer and predictor, each compared
with a run that nobody disturbed and with plain PyTorch. The control is a coordinator that releases
the head of a version before its chunks: the same judge finds it out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from itertools import pairwise
from typing import Final

import pytest

from chiron_stream import DataOwner, ModelProvider, Recipe
from chiron_stream.broker.local import LocalKafka
from chiron_stream.clients.publication import Publication
from chiron_stream.local import services
from chiron_stream.local.directory import create
from enclave_workers.courier.effects import POINTS
from enclave_workers.local import LocalJob
from tests.crash import jobs
from tests.crash.judging import SIMULATED, Judged, expected_uses, judge, uses
from tests.crash.killing import (
    COORDINATOR,
    LIMIT,
    PREDICTOR,
    TRAINER,
    WORKERS,
    Asker,
    CrashedJob,
    Stuck,
    report,
    wait_for,
)
from tests.crash.orders import VICTIMS, Order
from tests.kafka.processes import carrying

pytestmark = [pytest.mark.kafka, pytest.mark.faults, pytest.mark.timeout(1200)]

PASSES: Final = 80
ROUNDS: Final = PASSES * jobs.ROUNDS_PER_PASS
FINISH_SECONDS: Final = 180.0
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

NewJob = Callable[..., CrashedJob]


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
def undisturbed(recipe: Recipe) -> Judged:
    """What the same terms come to when nobody dies, in one process over the in-memory broker."""
    with LocalJob(jobs.terms(PASSES)) as job:
        job.provider().publish(recipe)
        publications = {
            owner: job.owner(owner).publish(
                jobs.rows(owner), dataset=jobs.DATA_SET, rows_per_shard=jobs.ROWS_PER_SHARD
            )
            for owner in jobs.OWNERS
        }
        job.wait(lambda status: status.state == "finished", timeout=FINISH_SECONDS)
        client = job.client("carol")
        answers = [client.predict(row) for row in jobs.questions()]
        left = [one.budget_left for one in answers]
        assert left == list(range(jobs.CEILING - 1, jobs.CEILING - 1 - jobs.ROWS, -1))
        values = [one.value for one in answers]
        return judge(job.directory, publications, values, job.broker)


@pytest.fixture
def new_job(kafka: LocalKafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[NewJob]:
    """Start jobs whose workers obey orders; nothing outlives the test."""
    top = tmp_path_factory.mktemp("c")
    with ExitStack() as stack:

        def make(passes: int, core: str = "tests.crash.core") -> CrashedJob:
            directory = create(top / "job", jobs.terms(passes))
            job = CrashedJob(directory, kafka.bootstrap_servers, core)
            return stack.enter_context(job)

        yield make
    assert carrying(str(top)) == []


class Members:
    """The parties of a job, closed together."""

    def __init__(self, job: CrashedJob) -> None:
        self._job = job
        self._open = ExitStack()
        self.publications: dict[str, Publication] = {}

    def provide(self, recipe: Recipe) -> None:
        identity = self._job.directory.identity("bob")
        with ModelProvider(self._job.job, identity, evidence=SIMULATED) as provider:
            provider.publish(recipe)

    def publish(self, name: str) -> None:
        identity = self._job.directory.identity(name)
        owner = self._open.enter_context(DataOwner(self._job.job, identity, evidence=SIMULATED))
        made = owner.publish(
            jobs.rows(name), dataset=jobs.DATA_SET, rows_per_shard=jobs.ROWS_PER_SHARD
        )
        self._open.callback(made.close)
        made.wait("accepted", 60)
        self.publications[name] = made

    def asker(self) -> Asker:
        return self._open.enter_context(Asker(self._job.job, self._job.directory.identity("carol")))

    def __enter__(self) -> Members:
        return self

    def __exit__(self, *_error: object) -> None:
        self._open.close()


def finished(job: CrashedJob) -> bool:
    return job.progress().get("state") == "finished"


def assert_nothing_shows(
    job: CrashedJob, members: Members, asker: Asker, undisturbed: Judged
) -> None:
    """Let a job come to its end, and hold everything that it came to against the other run."""
    assert not finished(job), "the job was too short for its kills"
    wait_for(lambda: finished(job), "the job is finished", FINISH_SECONDS)
    judged = judge(job.directory, members.publications, asker.ask_all(ROUNDS))
    assert judged.outcome.parameters == jobs.reference(job.job.policy, judged.plans)
    assert judged.outcome.parameters == undisturbed.outcome.parameters
    assert judged.outcome == undisturbed.outcome
    assert uses(judged.outcome) == expected_uses(PASSES)
    assert judged.rejected == []
    assert_ledger_only_falls(job, asker)
    assert_every_end_was_ordered(job)


def assert_ledger_only_falls(job: CrashedJob, asker: Asker) -> None:
    """Each answer costs at least one; what a dead predictor was granted is lost, and no more."""
    left = [one.answer.budget_left for one in asker.asked]
    assert all(later < earlier for earlier, later in pairwise(left))
    boots = 1 + len(job.deaths.all(PREDICTOR))
    assert len(left) <= jobs.CEILING - left[-1] <= len(left) + boots * jobs.GRANT


def assert_every_end_was_ordered(job: CrashedJob) -> None:
    for worker in WORKERS:
        assert len(job.endings.codes[worker]) == len(job.deaths.all(worker)), worker


def assert_reached(job: CrashedJob, worker: str) -> None:
    died = {(death.point, death.victim) for death in job.deaths.all(worker)}
    assert died >= {(order.point, order.victim) for order in planned(worker)}


def test_every_point_is_reached_by_some_worker() -> None:
    assert {point for points in REACHED.values() for point in points} == set(POINTS)


def test_coordinator_killed_at_every_point_shows_nowhere(
    new_job: NewJob, recipe: Recipe, undisturbed: Judged
) -> None:
    job = new_job(PASSES)
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
        assert_nothing_shows(job, members, asker, undisturbed)
    assert_reached(job, COORDINATOR)
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
    goal = job.version + 2
    wait_for(lambda: job.version >= goal, "a round behind the death of both", limit)


def test_trainer_and_predictor_killed_at_every_point_show_nowhere(
    new_job: NewJob, recipe: Recipe, undisturbed: Judged
) -> None:
    job = new_job(PASSES)
    with Members(job) as members:
        members.provide(recipe)
        for owner in jobs.OWNERS:
            members.publish(owner)
        asker = members.asker()
        wait_for(lambda: asker.answered(0), "the first answer")
        trainers, predictors = planned(TRAINER), planned(PREDICTOR)
        for turn in range(max(len(trainers), len(predictors))):
            trainer = trainers[turn % len(trainers)]
            predictor = predictors[turn % len(predictors)]
            job.kill_both(on_the_way(TRAINER, trainer), on_the_way(PREDICTOR, predictor), asker)
        assert_nothing_shows(job, members, asker, undisturbed)
    assert_reached(job, TRAINER)
    assert_reached(job, PREDICTOR)
    report(job.recoveries)


def test_version_whose_head_went_before_its_chunks_is_found_out(
    new_job: NewJob, recipe: Recipe
) -> None:
    job = new_job(PASSES, "tests.crash.core_head_first")
    with Members(job) as members:
        members.provide(recipe)
        for owner in jobs.OWNERS:
            members.publish(owner)
        wait_for(lambda: job.version > 2, "the first rounds: without deaths it goes well")
        with pytest.raises(Stuck, match="the death of both"):
            kill_both_in_one_round(job, CONTROL_SECONDS)
        rejected = judge(job.directory, members.publications, []).rejected
        assert ("tasks", "CHUNK_MISSING") in rejected
