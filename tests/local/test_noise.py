"""Bytes that nobody honest wrote, on every topic that others may write: rejected, survived."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from chiron_stream.recipe import Recipe
from chiron_stream.wire.canonical import encode
from chiron_stream.wire.control import ControlHeader, ControlRecord
from chiron_stream.wire.serving import QueryName, seal_query
from chiron_stream.wire.workers import Join, PresenceRecord, ReportRecord
from enclave_workers.local import LocalJob
from tests.local import jobs

HEADER = ControlHeader(bytes(16), 1, bytes(32)).pack()
NOISE = {
    "empty": b"",
    "zeros": bytes(100),
    "random": os.urandom(300),
    "long": bytes(4000),
    "json": b'{"kind": 1}',
    "no document": encode({1: 1}),
    "no kind": encode({0: "1"}),
    "unknown kind": encode({0: 9999}),
    "deep": b"\x91" * 200,
    "another kind": Join(b"", b"").pack(),
    "open": b"\x86" + encode({0: 3})[1:],
    "control": ControlRecord(HEADER, bytes(64)).pack(),
    "control of no header": ControlRecord(b"\x80", bytes(64)).pack(),
    "report": ReportRecord(bytes(16), 1, 0, bytes(64), bytes(64)).pack(),
    "beat": PresenceRecord(bytes(16), 1, 0, bytes(64)).pack(),
    "query": seal_query(bytes(32), QueryName(bytes(16), 7), b"", 100),
    "shard magic": b"CSs1" + bytes(50),
    "chunk magic": b"CSo1" + bytes(50),
}
READ = ("control", "workers", "presence", "updates", "queries")
"""Topics whose every record has a reader; what is on the others is found by reference only."""

UNREAD = ("bulk", "shards", "update-chunks")


@pytest.fixture(scope="module")
def noisy(recipe: Recipe) -> Iterator[tuple[LocalJob, dict[str, list[int]]]]:
    """A job into whose topics everything was thrown before and while it trained."""
    with LocalJob(jobs.terms()) as job:
        job.wait(lambda status: status.workers == 2)
        thrown = {topic: throw(job, topic) for topic in (*READ, *UNREAD)}
        publications = jobs.publish_all(job, recipe)
        for topic in READ:
            thrown[topic] += throw(job, topic)
        jobs.finish(job)
        for one in publications:
            one.wait("trained", 30)
        yield job, thrown


def throw(job: LocalJob, topic: str) -> list[int]:
    return [jobs.append(job, topic, value) for value in NOISE.values()]


Noisy = tuple[LocalJob, dict[str, list[int]]]


@pytest.mark.parametrize("topic", READ)
def test_every_malformed_record_is_rejected_with_a_code(noisy: Noisy, topic: str) -> None:
    job, thrown = noisy
    job.client("carol").predict(jobs.ABOVE)
    found = {(one.topic, one.offset): one.code for one in jobs.rejected(job)}
    missing = [offset for offset in thrown[topic] if (topic, offset) not in found]
    assert missing == []
    assert all(found[topic, offset] for offset in thrown[topic])


def test_rejections_are_of_the_noise_alone(noisy: Noisy) -> None:
    job, thrown = noisy
    assert all(one.offset in thrown[one.topic] for one in jobs.rejected(job))


def test_nobody_stops_and_the_bits_are_the_same(noisy: Noisy) -> None:
    job, _ = noisy
    assert jobs.all_alive(job)
    assert jobs.same_bits(job)


def test_noise_on_replies_and_answers_does_not_disturb_parties(noisy: Noisy) -> None:
    job, _ = noisy
    client = job.client("carl")
    for value in NOISE.values():
        jobs.append(job, "replies", value)
        for partition in range(4):
            jobs.append(job, "answers", value, partition)
    assert client.predict(jobs.ABOVE).value == "above"


def test_noise_on_sessions_does_not_disturb_predictors(noisy: Noisy) -> None:
    job, thrown = noisy
    thrown.setdefault("sessions", []).extend(throw(job, "sessions"))
    assert job.client("carl").predict(jobs.BELOW).value == "below"
    assert jobs.all_alive(job)


@pytest.mark.parametrize("topic", ["tasks", "authority"])
def test_noise_on_topics_of_the_coordinator_is_rejected_by_every_worker(topic: str) -> None:
    """An operator may write there; only parties stop at a broken ``authority``, by name."""
    with LocalJob(jobs.terms()) as job:
        job.wait(lambda status: status.workers == 2)
        thrown = throw(job, topic)
        jobs.until(job, lambda: len(jobs.rejected(job)) == 2 * len(thrown))
        assert {(one.topic, one.offset) for one in jobs.rejected(job)} == {
            (topic, offset) for offset in thrown
        }
        assert jobs.all_alive(job)
