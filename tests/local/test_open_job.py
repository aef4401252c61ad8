"""A job without an end: owners come, leave and come back, and it trains on what is there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from chiron_stream.clients.publication import Publication
from chiron_stream.job.terms import Terms, read_terms
from chiron_stream.recipe import Recipe
from enclave_workers.local import LocalJob
from tests.local import jobs

PASSES = 2


def terms(**schedule: Any) -> Terms:
    """Return the terms of an open job: a window is two rounds of two shards."""
    return read_terms(
        {
            "name": "stream",
            "owners": list(jobs.OWNERS),
            "provider": "bob",
            "clients": ["carol"],
            "auditor": "dan",
            "columns": jobs.COLUMNS,
            "schedule": {
                "kind": "open",
                "shards_per_slot": 2,
                "passes": PASSES,
                "window": 2,
                "max_wait": 1,
                **schedule,
            },
        }
    )


def publish(job: LocalJob, owner: str, data_set: str) -> Publication:
    rows, size = jobs.points(owner), jobs.ROWS_PER_SHARD
    return job.owner(owner).publish(rows, dataset=data_set, rows_per_shard=size, fin=False)


@pytest.fixture(scope="module")
def streamed(recipe: Recipe) -> Iterator[tuple[LocalJob, list[Publication]]]:
    """A job that one owner began, another joined, and the first came back to."""
    with LocalJob(terms()) as job:
        job.provider().publish(recipe)
        publications = []
        for owner, data_set in (("alice", "monday"), ("anna", "late"), ("alice", "tuesday")):
            publications.append(publish(job, owner, data_set))
            publications[-1].wait("trained", 60)
        jobs.until(job, lambda: job.status is not None and job.status.waiting_for == "shards")
        yield job, publications


Streamed = tuple[LocalJob, list[Publication]]


def test_parameters_are_those_of_plain_pytorch_over_the_job_s_own_plan(streamed: Streamed) -> None:
    job, _ = streamed
    assert jobs.same_bits(job)


def test_every_shard_has_its_passes_within_one_window(streamed: Streamed) -> None:
    job, _ = streamed
    names = [
        [(shard.data_set, shard.number) for slot in plan.slots for shard in slot.shards]
        for plan in jobs.plans(job)
    ]
    uses = Counter(one for used in names for one in used)
    assert uses == {
        (data_set, number): PASSES
        for data_set in ("monday", "late", "tuesday")
        for number in range(4)
    }
    for start in range(0, len(names), 2 * PASSES):
        window = names[start : start + 2 * PASSES]
        assert len({data_set for used in window for data_set, _ in used}) == 1


def test_each_owner_has_receipts_of_every_pass(streamed: Streamed) -> None:
    _, publications = streamed
    for publication in publications:
        receipts = publication.receipts()
        assert [len(one.checkpoints) for one in receipts] == [PASSES] * 4


def test_predictors_serve_the_newest_release_of_a_job_that_goes_on(streamed: Streamed) -> None:
    job, _ = streamed
    answer = job.client("carol").predict(jobs.ABOVE)
    assert (answer.value, answer.release) == ("above", 3 * 2 * PASSES)


def test_job_says_that_it_waits_for_shards(streamed: Streamed) -> None:
    job, _ = streamed
    assert job.status is not None
    assert (job.status.state, job.status.waiting_for) == ("waiting", "shards")


def test_shards_that_fill_no_window_are_trained_on_when_they_have_waited(recipe: Recipe) -> None:
    with LocalJob(terms(window=8)) as job:
        job.provider().publish(recipe)
        publication = publish(job, "anna", "few")
        publication.wait("trained", 60)
        jobs.until(job, lambda: len(jobs.plans(job)) == 2 * PASSES)
        assert jobs.same_bits(job)


def test_terms_of_an_open_job_name_owners_and_no_data_sets() -> None:
    found = terms()
    assert found.owners == dict.fromkeys(jobs.OWNERS, ())
    assert found.schedule["owner_slots"] == found.schedule["slots"]
