"""The broker goes away in mid-publication, for longer than a record may be under way."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import pytest

from chiron_stream import timeouts
from chiron_stream.broker.local import LocalKafka
from chiron_stream.clients.party import Party
from chiron_stream.clients.publication import Publication
from chiron_stream.errors import BrokerUnreachable, Timeout
from chiron_stream.local import services
from chiron_stream.local.directory import JobDirectory, create
from chiron_stream.local.running import RunningJob
from tests.jobs import jobs

pytestmark = [pytest.mark.kafka, pytest.mark.faults, pytest.mark.timeout(400)]

LIMIT: Final = 180.0
BATCH_ROWS: Final = 20


class Rows:
    """An owner's rows, batch by batch; half-way they wait until the broker has gone."""

    def __init__(self) -> None:
        self.half_way = threading.Event()
        self.gone = threading.Event()

    def __iter__(self) -> Iterator[jobs.Table]:
        table = jobs.rows("alice")
        for start in range(0, jobs.ROWS, BATCH_ROWS):
            if start >= jobs.ROWS // 2 and not self.half_way.is_set():
                self.half_way.set()
                assert self.gone.wait(LIMIT)
            yield {name: column[start : start + BATCH_ROWS] for name, column in table.items()}


@pytest.fixture
def node(tmp_path: Path) -> Iterator[LocalKafka]:
    with LocalKafka(tmp_path / "kafka") as started:
        yield started


@pytest.fixture
def directory(
    node: LocalKafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[JobDirectory]:
    monkeypatch.setattr(services, "LONGEST_BACKOFF", services.FIRST_BACKOFF)
    made = create(tmp_path / "job", jobs.terms())
    workers = {"coordinator": 1, "trainer": 1}
    with RunningJob(made, bootstrap_servers=node.bootstrap_servers, workers=workers):
        yield made


def publish(parties: jobs.Parties, rows: Rows, patience: float) -> Publication:
    size = jobs.ROWS_PER_SHARD
    made = parties.owner("alice").publish_stream(
        rows, dataset=jobs.DATA_SET, rows_per_shard=size, patience=patience
    )
    made.wait("accepted", LIMIT)
    return made


@pytest.fixture
def given_up(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Set when a publisher has given up a producer, with what it had, and another one too."""
    event, count = threading.Event(), itertools.count(1)
    renew = Party.renew_producer

    def renewed(party: Party) -> None:
        renew(party)
        if next(count) == 2:
            event.set()

    monkeypatch.setattr(Party, "renew_producer", renewed)
    return event


def test_publication_outlasts_the_broker(
    node: LocalKafka, directory: JobDirectory, given_up: threading.Event
) -> None:
    rows = Rows()
    with jobs.Parties(directory) as parties, ThreadPoolExecutor(1) as pool:
        parties.provider().publish(jobs.export())
        publishing = pool.submit(publish, parties, rows, timeouts.BROKER_AWAY)
        assert rows.half_way.wait(LIMIT)
        node.nodes[0].end(timeouts.BROKER_STOP)
        rows.gone.set()
        assert given_up.wait(LIMIT), "records were under way for longer than they may be"
        assert not publishing.done()
        node.restart(timeout=LIMIT)
        assert len(publishing.result(LIMIT).sent) == jobs.SHARDS
        parties.publish("anna")
        jobs.reaches(directory, "finished", seconds=LIMIT)
    assert jobs.finished_right(directory)


def test_publication_without_patience_ends_and_is_resumed(
    node: LocalKafka, directory: JobDirectory
) -> None:
    rows = Rows()
    with jobs.Parties(directory) as parties, ThreadPoolExecutor(1) as pool:
        parties.provider().publish(jobs.export())
        publishing = pool.submit(publish, parties, rows, 0.0)
        assert rows.half_way.wait(LIMIT)
        node.nodes[0].end(timeouts.BROKER_STOP)
        rows.gone.set()
        with pytest.raises((Timeout, BrokerUnreachable)):
            publishing.result(LIMIT)
        node.restart(timeout=LIMIT)
        parties.publish("alice")
        parties.publish("anna")
        jobs.reaches(directory, "finished", seconds=LIMIT)
    assert jobs.finished_right(directory)
