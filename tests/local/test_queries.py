"""Queries: charged once, answered once a boot, and never under a number that was used."""

from __future__ import annotations

import pytest

from chiron_stream.clients.query import QueryClient
from chiron_stream.clients.sealing import Sealer
from chiron_stream.errors import BudgetExhausted, SchemaMismatch
from chiron_stream.recipe import Recipe
from chiron_stream.wire.serving import QueryName, answer_name, open_answer, query_name, seal_query
from chiron_stream.wire.session import SessionKeys
from enclave_workers.local import LocalJob
from tests.local import jobs
from tests.local.forging import query
from tests.local.lying import LyingBroker, doubled

ROW = jobs.ABOVE


def tight(ceiling: int, size: int, broker: LyingBroker | None = None) -> LocalJob:
    disclosure = {"answers_per_client": ceiling, "grant_size": size}
    return LocalJob(jobs.terms(disclosure=disclosure), broker=broker)


def answers(job: LocalJob, name: QueryName) -> list[bytes]:
    """Return every record that answers a query."""
    found = [one.value for n in range(4) for one in jobs.records(job, "answers", n)]
    return [one for one in found if answer_name(one) == name]


def keys_of(client: QueryClient) -> SessionKeys:
    """Return the keys of a client's session."""
    sealer = client.asking._sealer
    assert isinstance(sealer, Sealer)
    return sealer.open(0)


def asked(job: LocalJob, client: QueryClient) -> tuple[SessionKeys, QueryName, bytes, int]:
    """Ask once; return session, name, record and partition of the query."""
    client.predict(ROW)
    keys = keys_of(client)
    partition = keys.session[0] % 4
    record = [
        one.value for one in jobs.records(job, "queries", partition) if one.key == keys.session
    ][-1]
    name = query_name(record)
    assert name is not None
    return keys, name, record, partition


def test_budget_is_exhausted_exactly_at_the_ceiling(recipe: Recipe) -> None:
    with tight(5, 2) as job:
        jobs.train(job, recipe)
        carol, carl = job.client("carol"), job.client("carl")
        assert [carol.predict(ROW).budget_left for _ in range(5)] == [4, 3, 2, 1, 0]
        for _ in range(2):
            with pytest.raises(BudgetExhausted):
                carol.predict(ROW)
        with pytest.raises(BudgetExhausted):
            job.client("carol").predict(ROW)
        assert carl.predict(ROW).budget_left == 4


def test_each_answer_of_a_batch_tells_what_was_left_behind_it(serving: LocalJob) -> None:
    client = serving.client("carol")
    before = client.predict(ROW).budget_left
    answers = [one.result(20) for one in [client.submit(ROW) for _ in range(50)]]
    assert [one.budget_left for one in answers] == list(range(before - 1, before - 51, -1))


def test_replayed_query_is_answered_again_with_the_same_bytes_and_not_charged(
    serving: LocalJob,
) -> None:
    client = serving.client("carol")
    _, name, record, partition = asked(serving, client)
    jobs.append(serving, "queries", record, partition)
    jobs.until(serving, lambda: len(answers(serving, name)) == 2)
    assert len(set(answers(serving, name))) == 1
    left = client.predict(ROW).budget_left
    assert client.predict(ROW).budget_left == left - 1


def test_query_under_a_used_number_with_other_bytes_is_refused(serving: LocalJob) -> None:
    keys, name, _, partition = asked(serving, serving.client("carol"))
    other = query(serving, keys, name.number, -2.0)
    offset = jobs.append(serving, "queries", other, partition)
    assert jobs.rejection(serving, "queries", offset, partition).code == "CONFLICT"
    assert len(answers(serving, name)) == 1


def test_query_that_comes_three_times_at_once_is_charged_once(recipe: Recipe) -> None:
    broker = LyingBroker(lambda _topic, value: [value])
    with tight(9, 9, broker) as job:
        jobs.train(job, recipe)
        broker.lie = lambda topic, value: doubled(value) if topic == "queries" else [value]
        client = job.client("carol")
        assert [client.predict(ROW).budget_left for _ in range(4)] == [8, 7, 6, 5]
        name = QueryName(keys_of(client).session, 0)
        assert len(set(answers(job, name))) == 1


def test_query_of_no_session_is_rejected(serving: LocalJob) -> None:
    record = seal_query(bytes(32), QueryName(b"nobody's session", 0), b"", 256)
    offset = jobs.append(serving, "queries", record)
    assert jobs.rejection(serving, "queries", offset).code == "UNKNOWN_SESSION"


def test_query_under_another_key_is_rejected_and_not_charged(serving: LocalJob) -> None:
    client = serving.client("carol")
    keys, name, _, partition = asked(serving, client)
    forged = seal_query(bytes(32), QueryName(name.session, 99), b"", 256)
    offset = jobs.append(serving, "queries", forged, partition)
    assert jobs.rejection(serving, "queries", offset, partition).code == "DOES_NOT_OPEN"
    left = client.predict(ROW).budget_left
    assert client.predict(ROW).budget_left == left - 1
    assert keys.session == name.session


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e30])
def test_invalid_row_gets_an_error_of_the_same_size(serving: LocalJob, value: float) -> None:
    keys, name, _, partition = asked(serving, serving.client("carol"))
    good = answers(serving, name)[0]
    bad = QueryName(name.session, 50)
    record = query(serving, keys, bad.number, 0.0, raw=value)
    jobs.append(serving, "queries", record, partition)
    jobs.until(serving, lambda: len(answers(serving, bad)) == 1)
    (answer,) = answers(serving, bad)
    assert len(answer) == len(good)
    body = open_answer(keys.answers, bad, answer)
    assert body.status.name == "INVALID"
    assert "east" in body.reason


def test_row_that_the_schema_refuses_is_never_sent(serving: LocalJob) -> None:
    client = serving.client("carol")
    with pytest.raises(SchemaMismatch, match="north"):
        client.predict({"east": 0.0})
    with pytest.raises(SchemaMismatch, match="east"):
        client.predict({"east": 99.0, "north": 0.0})
    assert client.asking._sealer is None


def test_answers_are_as_coarse_as_the_policy_says(recipe: Recipe) -> None:
    terms = jobs.terms(disclosure={"form": "rounded", "bits": 3})
    with LocalJob(terms) as job:
        jobs.train(job, recipe)
        value = job.client("carol").predict(ROW).value
        assert set(value) == {"below", "above"}
        assert all((8 * score).is_integer() for score in value.values())


def test_two_predictors_together_stay_below_the_ceiling(recipe: Recipe) -> None:
    with tight(8, 2) as job:
        jobs.train(job, recipe)
        job.start_worker("predictor")
        job.wait(lambda status: status.workers == 3)
        client = job.client("carol")
        given = 0
        for _ in range(10):
            try:
                client.predict(ROW)
            except BudgetExhausted:
                continue
            given += 1
        assert given <= 8
