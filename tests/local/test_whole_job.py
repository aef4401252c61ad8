"""A whole job, from rows and a recipe to receipts and answers, in this process."""

from __future__ import annotations

import doctest
import logging
import re
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import enclave_workers.local
from chiron_stream.clients.publication import Publication, SupersededPublisher
from chiron_stream.errors import JobRefused, Timeout, UsageRefused
from chiron_stream.job.terms import Terms
from chiron_stream.recipe import Recipe, Round
from enclave_workers.local import LocalJob
from tests.local import jobs


@pytest.fixture(scope="module")
def finished(recipe: Recipe) -> Iterator[tuple[LocalJob, list[Publication]]]:
    """A job that has trained to its end; tests here change nothing of it."""
    with LocalJob(jobs.terms()) as job:
        yield job, jobs.train(job, recipe)


Finished = tuple[LocalJob, list[Publication]]


def test_answers_are_right(finished: Finished) -> None:
    job, _ = finished
    client = job.client("carol")
    table = jobs.points("anna")
    rows = [{"east": table["east"][n], "north": table["north"][n]} for n in range(100)]
    answers = [one.result(30) for one in [client.submit(row) for row in rows]]
    right = sum(one.value == side for one, side in zip(answers, table["side"], strict=False))
    assert right >= 85
    assert {one.simulated for one in answers} == {True}
    assert {one.freshness for one in answers} == {"local"}


def test_parameters_are_those_of_plain_pytorch_bit_for_bit(finished: Finished) -> None:
    job, _ = finished
    assert len(jobs.plans(job)) == 8
    assert jobs.same_bits(job)


def test_comparison_of_bits_notices_another_seed(
    finished: Finished, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, _ = finished
    honest = list(jobs.rounds(job))
    (last,) = honest[-1].slots
    changed = [*honest[:-1], Round([replace(last, seed=1)], jobs.BATCH)]
    monkeypatch.setattr(jobs, "rounds", lambda _job, _counts: iter(changed))
    assert not jobs.same_bits(job)


def test_every_shard_is_used_once_in_each_pass(finished: Finished) -> None:
    job, _ = finished
    shards = [shard for plan in jobs.plans(job) for slot in plan.slots for shard in slot.shards]
    names = [(one.owner, one.number) for one in shards]
    assert sorted(names[:8]) == sorted(names[8:])
    assert len(set(names)) == 8


def test_receipts_verify_and_name_every_pass(finished: Finished) -> None:
    _, publications = finished
    for publication in publications:
        publication.wait("trained", 10)
        receipts = publication.receipts()
        assert [one.shard for one in receipts] == [0, 1, 2, 3]
        assert {len(one.checkpoints) for one in receipts} == {2}
        assert {one.simulated for one in receipts} == {True}


def test_status_counts_shards_rounds_and_releases(finished: Finished) -> None:
    job, _ = finished
    status = job.wait(lambda one: one.state == "finished")
    assert (status.accepted, status.trained, status.void, status.parked) == (8, 8, 0, 0)
    assert (status.round, status.version, status.release) == (8, 8, 8)


def test_nobody_stopped_and_nothing_was_rejected(finished: Finished) -> None:
    job, _ = finished
    assert jobs.all_alive(job)
    assert jobs.rejected(job) == []


def test_publishing_again_sends_nothing_and_supersedes_the_one_before() -> None:
    with LocalJob(jobs.terms(), workers={"coordinator": 1}) as job:
        first = jobs.publish(job, "alice")
        first.wait("accepted", 10)
        again = jobs.publish(job, "alice")
        assert (again.resumed_at, again.sent) == (200, {})
        again.wait("accepted", 10)
        with pytest.raises(SupersededPublisher):
            first.wait("trained", 10)


def test_broker_sees_no_row_and_no_name(finished: Finished) -> None:
    job, _ = finished
    row = jobs.points("alice")["east"].tobytes()[:32]
    for topic in ("control", "shards", "bulk", "journal", "replies", "tasks", "receipts"):
        partitions = 4 if topic == "shards" else 1
        for partition in range(partitions):
            for record in jobs.records(job, topic, partition):
                assert row not in record.value
                assert topic == "journal" or b"points" not in record.value


def test_member_that_there_is_not_is_refused(finished: Finished) -> None:
    job, _ = finished
    with pytest.raises(UsageRefused):
        job.owner("nobody")
    with pytest.raises(JobRefused) as refused:
        job.owner("carol")
    assert refused.value.code == "ROSTER"


def test_wait_says_where_the_job_stands_when_it_takes_too_long(finished: Finished) -> None:
    job, _ = finished
    with pytest.raises(Timeout, match="finished"):
        job.wait(lambda status: status.round == 99, timeout=0.1)


def test_two_trainers_come_to_the_same_bits(recipe: Recipe) -> None:
    with LocalJob(jobs.terms(), workers={"coordinator": 1, "trainer": 2}) as job:
        jobs.train(job, recipe)
        assert jobs.same_bits(job)


def test_nothing_is_left_running() -> None:
    before = set(threading.enumerate())
    with LocalJob(jobs.terms()) as job:
        job.wait(lambda status: status.workers == 2)
        directory = job.directory.path
        assert directory.exists()
    assert set(threading.enumerate()) <= before
    assert not directory.exists()


def test_job_of_a_directory_can_be_opened_again(recipe: Recipe) -> None:
    with LocalJob(jobs.terms()) as first, LocalJob(first.directory, broker=None) as second:
        assert second.job.job_id == first.job.job_id
        second.provider().publish(recipe)


def test_example_of_the_documentation_runs() -> None:
    assert doctest.testmod(enclave_workers.local).failed == 0


def test_example_of_the_page_runs(capsys: pytest.CaptureFixture[str]) -> None:
    page = (Path(__file__).parents[2] / "docs" / "local-jobs.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    exec(code, {})  # noqa: S102  (our own page)
    assert capsys.readouterr().out == "right 3 3\n"


def test_page_names_every_public_member() -> None:
    page = (Path(__file__).parents[2] / "docs" / "local-jobs.md").read_text()
    names = {name for name in vars(LocalJob) if not name.startswith("_")} - {"effects"}
    assert {name for name in names if f"`{name}" not in page and f"{name}(" not in page} == set()


def test_auditor_reads_plans_and_a_job_without_one_says_so(finished: Finished) -> None:
    job, _ = finished
    assert [one.round for one in job.auditor().plans()] == list(range(1, 9))
    with LocalJob(jobs.terms(auditor="dan"), workers={}) as other:
        assert other.auditor().plans() == []
    with LocalJob(without_auditor(), workers={}) as none, pytest.raises(UsageRefused) as caught:
        none.auditor()
    assert caught.value.code == "NO_MEMBER"


def without_auditor() -> Terms:
    return replace(jobs.terms(), auditor=None)


def test_job_in_one_process_leaves_logging_on() -> None:
    with LocalJob(jobs.terms()) as job:
        job.wait(lambda status: status.state == "waiting")
        assert logging.root.manager.disable == logging.NOTSET
