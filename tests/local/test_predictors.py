"""Several predictors: they share the queries, and what one leaves another answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from chiron_stream.recipe import Recipe
from chiron_stream.wire.serving import answer_name
from enclave_workers.local import LocalJob
from tests.local import jobs

CLIENTS, QUESTIONS = 8, 20
"""Sessions, which are spread over the partitions by their ids, and questions of each."""

TWO = {"coordinator": 1, "trainer": 1, "predictor": 2}


@pytest.fixture
def serving(recipe: Recipe) -> Iterator[LocalJob]:
    with LocalJob(jobs.terms(), workers=TWO) as job:
        jobs.train(job, recipe)
        yield job


def answered(job: LocalJob) -> Counter[object]:
    """Return how often each query has an answer on the topic."""
    found = [one.value for n in range(4) for one in jobs.records(job, "answers", n)]
    return Counter(answer_name(one) for one in found)


def test_each_query_is_answered_by_one_of_two_predictors(serving: LocalJob) -> None:
    clients = [serving.client("carol") for _ in range(CLIENTS)]
    futures = [client.submit(jobs.ABOVE) for _ in range(QUESTIONS) for client in clients]
    assert {one.result(30).value for one in futures} == {"above"}
    found = answered(serving)
    assert len(found) == CLIENTS * QUESTIONS
    assert set(found.values()) == {1}


def test_queries_of_a_predictor_that_was_killed_are_answered_by_the_other(
    serving: LocalJob,
) -> None:
    clients = [serving.client("carol") for _ in range(CLIENTS)]
    futures = [client.submit(jobs.ABOVE) for _ in range(QUESTIONS) for client in clients]
    serving.kill("predictor-0")
    futures += [client.submit(jobs.ABOVE) for _ in range(QUESTIONS) for client in clients]
    assert {one.result(60).value for one in futures} == {"above"}
    assert len(answered(serving)) == 2 * CLIENTS * QUESTIONS


def test_predictor_that_comes_later_takes_its_share(recipe: Recipe) -> None:
    with LocalJob(jobs.terms()) as job:
        jobs.train(job, recipe)
        first = job.client("carol")
        first.predict(jobs.ABOVE)
        late = job.start_worker("predictor")
        jobs.until(job, lambda: job.status is not None and job.status.workers == 3)
        job.kill("predictor-0")
        assert job.client("carl").predict(jobs.BELOW).value == "below"
        assert first.predict(jobs.ABOVE).value == "above"
        assert job.workers[late].alive
