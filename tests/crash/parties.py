"""The parties of a job that workers die in, and what they must find at its end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Final, Protocol

from chiron_stream import Auditor, DataOwner, ModelProvider, Recipe
from chiron_stream.clients.publication import Publication
from chiron_stream.local.directory import JobDirectory, create
from enclave_workers.local import LocalJob
from tests.crash import jobs
from tests.crash.asking import Asker
from tests.crash.judging import SIMULATED, Judged, expected_uses, judge, uses
from tests.crash.killing import CrashedJob
from tests.crash.orders import Order
from tests.crash.waiting import wait_for
from tests.kafka.processes import carrying

FINISH_SECONDS: Final = 180.0


class NewJob(Protocol):
    """Starts a job."""

    def __call__(
        self, passes: int, slots: int = 1, trainers: int = 1, core: str = "tests.crash.core"
    ) -> CrashedJob: ...


@contextmanager
def new_jobs(top: Path, servers: str) -> Iterator[NewJob]:
    """Start jobs whose workers obey orders; nothing of them outlives the block."""
    with ExitStack() as stack:

        def make(
            passes: int, slots: int = 1, trainers: int = 1, core: str = "tests.crash.core"
        ) -> CrashedJob:
            directory = create(top / "job", jobs.terms(passes, slots))
            return stack.enter_context(CrashedJob(directory, servers, core, trainers))

        yield make
    assert carrying(str(top)) == []


def undisturbed(recipe: Recipe, passes: int, slots: int) -> Judged:
    """Return what the same terms come to when nobody dies: one process, the in-memory broker."""
    with LocalJob(jobs.terms(passes, slots)) as job:
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


def assert_nothing_shows(
    job: CrashedJob, members: Members, asker: Asker, other: Judged, boots: int
) -> None:
    """Let a job come to its end, and hold everything that it came to against another run.

    :param boots: of predictors, at most.
    """
    assert not job.finished, "the job was too short for what was done to it"
    job.pace.lift()
    wait_for(lambda: job.finished, "the job is finished", FINISH_SECONDS)
    answers = asker.ask_all(other.plans[-1].version)
    judged = judge(job.directory, members.publications, answers)
    assert judged.outcome.parameters == jobs.reference(job.job.policy, judged.plans)
    assert judged.outcome.parameters == other.outcome.parameters
    assert judged.outcome == other.outcome
    assert uses(judged.outcome) == expected_uses(job.job.policy.schedule.passes)
    assert judged.rejected == [], judged.rejected
    assert_ledger_only_falls(asker, boots)


def assert_ledger_only_falls(asker: Asker, boots: int) -> None:
    """Each answer costs at least one; what a dead predictor was granted is lost, and no more."""
    left = [one.answer.budget_left for one in asker.asked]
    assert all(later < earlier for earlier, later in pairwise(left))
    assert len(left) <= jobs.CEILING - left[-1] <= len(left) + boots * jobs.GRANT


def assert_every_end_was_ordered(job: CrashedJob) -> None:
    for worker in job.running.services:
        assert len(job.endings.codes[worker]) == len(job.deaths.all(worker)), worker


def assert_died(job: CrashedJob, workers: Sequence[str], orders: Sequence[Order]) -> None:
    """See that some of these workers died at each of these points."""
    died = {(one.point, one.victim) for worker in workers for one in job.deaths.all(worker)}
    assert died >= {(order.point, order.victim) for order in orders}


def count(directory: JobDirectory, topic: str) -> int:
    """Return how many records a topic without transactions has in its first partition."""
    job = directory.job()
    with Auditor(job, directory.identity("dan"), evidence=SIMULATED) as auditor:
        return auditor.broker.watermarks(auditor.partition(topic)).high
