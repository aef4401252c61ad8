"""Workers that are killed and replaced: the job goes on, and comes to the same bits."""

from __future__ import annotations

import pytest

from chiron_stream.errors import Fenced, Timeout
from chiron_stream.recipe import Recipe
from enclave_workers.core import membership
from enclave_workers.core.coordinator import shell
from enclave_workers.core.coordinator.shell import SNAPSHOT_MARK
from enclave_workers.local import LocalJob
from tests.local import jobs

CORES = {"coordinator": 1, "trainer": 1}


def replace(job: LocalJob, name: str) -> str:
    """Kill a worker and start another in its place."""
    job.stop_worker(name)
    return job.start_worker(job.workers[name].role)


def check(job: LocalJob, alive: str) -> None:
    jobs.finish(job)
    assert jobs.same_bits(job)
    assert len(jobs.plans(job)) == 8
    assert job.workers[alive].alive


def test_coordinator_killed_at_rest_is_replaced(recipe: Recipe) -> None:
    with LocalJob(jobs.terms(), workers=CORES) as job:
        job.provider().publish(recipe)
        successor = replace(job, "coordinator-0")
        publications = [jobs.publish(job, owner) for owner in jobs.OWNERS]
        check(job, successor)
        for one in publications:
            one.wait("trained", 30)
            assert {receipt.epoch for receipt in one.receipts()} == {2}


def test_session_of_before_goes_on_behind_a_successor(recipe: Recipe) -> None:
    with LocalJob(jobs.terms(), workers={"coordinator": 1}) as job:
        publications = jobs.publish_all(job, recipe)
        publications[0].wait("accepted", 30)
        replace(job, "coordinator-0")
        trainer = job.start_worker("trainer")
        for one in publications:
            one.wait("trained", 30)
        check(job, trainer)


def test_coordinator_killed_before_the_import_imports_behind_it(recipe: Recipe) -> None:
    with LocalJob(jobs.terms(), workers=CORES) as job:
        provider = job.provider()
        provider.coordinator()
        job.stop_worker("coordinator-0")
        with pytest.raises(Timeout):
            provider.publish(recipe, timeout=0.5)
        successor = job.start_worker("coordinator")
        jobs.publish_all(job, recipe)
        check(job, successor)


@pytest.mark.usefixtures("_quick_losses")
def test_trainer_killed_at_rest_is_replaced(recipe: Recipe) -> None:
    with LocalJob(jobs.terms(), workers=CORES) as job:
        job.provider().publish(recipe)
        successor = replace(job, "trainer-0")
        for owner in jobs.OWNERS:
            jobs.publish(job, owner)
        check(job, successor)


@pytest.mark.usefixtures("_quick_losses")
def test_trainer_killed_while_it_trains_is_replaced(recipe: Recipe) -> None:
    with LocalJob(jobs.terms(schedule={"passes": 2}), workers=CORES) as job:
        jobs.publish_all(job, recipe)
        job.wait(lambda status: status.round >= 2)
        successor = replace(job, "trainer-0")
        check(job, successor)


def test_coordinator_killed_while_it_trains_is_replaced(recipe: Recipe) -> None:
    with LocalJob(jobs.terms(), workers=CORES) as job:
        jobs.publish_all(job, recipe)
        job.wait(lambda status: status.round >= 2)
        successor = replace(job, "coordinator-0")
        check(job, successor)


def test_job_goes_on_behind_snapshots(recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shell, "SNAPSHOT_EVERY", 5)
    with LocalJob(jobs.terms(), workers=CORES) as job:
        publications = jobs.publish_all(job, recipe)
        name = "coordinator-0"
        for wanted in (1, 3, 5):
            job.wait(lambda status, wanted=wanted: status.version >= wanted)  # type: ignore[misc]
            name = replace(job, name)
        check(job, name)
        for one in publications:
            one.wait("trained", 30)
        marks = [one.headers for one in jobs.records(job, "journal")]
        assert sum(("mark", SNAPSHOT_MARK) in one for one in marks) >= 5


def test_second_coordinator_fences_the_first(recipe: Recipe) -> None:
    with LocalJob(jobs.terms(), workers=CORES) as job:
        job.provider().publish(recipe)
        successor = job.start_worker("coordinator")
        job.wait(lambda status: status.epoch == 2)
        for owner in jobs.OWNERS:
            jobs.publish(job, owner)
        check(job, successor)
        job.workers["coordinator-0"].join()
        assert isinstance(job.workers["coordinator-0"].error, Fenced)


def test_predictor_killed_at_rest_is_replaced_and_nothing_is_refunded(recipe: Recipe) -> None:
    terms = jobs.terms(disclosure={"answers_per_client": 10, "grant_size": 4})
    with LocalJob(terms) as job:
        jobs.train(job, recipe)
        client = job.client("carol")
        row = jobs.ABOVE
        first = client.predict(row)
        replace(job, "predictor-0")
        second = client.predict(row)
        assert (first.value, second.value) == ("above", "above")
        assert (first.budget_left, second.budget_left) == (9, 5)
        assert (first.version, first.checkpoint) == (second.version, second.checkpoint)


def test_client_and_ledger_outlive_the_coordinator(recipe: Recipe) -> None:
    terms = jobs.terms(disclosure={"answers_per_client": 10, "grant_size": 4})
    with LocalJob(terms) as job:
        jobs.train(job, recipe)
        client = job.client("carol")
        row = jobs.ABOVE
        assert client.predict(row).budget_left == 9
        replace(job, "coordinator-0")
        assert [client.predict(row).budget_left for _ in range(4)] == [8, 7, 6, 5]


@pytest.mark.usefixtures("_quick_losses")
def test_workers_that_stood_still_are_welcomed_again(
    recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    with LocalJob(jobs.terms(), workers=CORES) as job:
        job.provider().publish(recipe)
        job.wait(lambda status: status.workers == 1)
        beat = membership.Membership.beat
        monkeypatch.setattr(membership.Membership, "beat", lambda _self: None)
        job.wait(lambda status: status.workers == 0)
        monkeypatch.setattr(membership.Membership, "beat", beat)
        for owner in jobs.OWNERS:
            jobs.publish(job, owner)
        check(job, "trainer-0")
