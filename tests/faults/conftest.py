"""A stage for each test: fresh topics, writer processes, and a broker that may be killed."""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from chiron_stream import Recipe
from chiron_stream.broker.extents import read_until
from chiron_stream.broker.kafka import KafkaBroker
from chiron_stream.broker.local import LocalKafka
from chiron_stream.broker.records import Partition, TopicState
from chiron_stream.local import services
from tests.crash import jobs
from tests.crash.judging import Judged
from tests.crash.parties import NewJob, new_jobs, undisturbed
from tests.faults.judging import settled
from tests.faults.members import PASSES, SLOTS
from tests.faults.processes import LONG, WriterProcess
from tests.faults.writer_process import Options, Stamp

Spawn = Callable[[Options], WriterProcess]


@dataclass(frozen=True)
class Stage:
    """Two topics that transactions spread over, and the one that says who has taken over."""

    broker: KafkaBroker
    places: tuple[Partition, Partition]
    authority: Partition

    def options(self, name: str, **changes: Any) -> Options:
        """Return the options of a writer; all of a stage share the transactional id."""
        defaults = {"authority": self.authority, "places": self.places}
        return Options(
            servers=self.broker.endpoint,
            transactional_id=self.authority.topic,
            name=name,
            **{**defaults, **changes},
        )

    def settled(self) -> dict[Partition, list[Stamp]]:
        """Return what readers of committed records see, once all is decided."""
        return settled(self.broker, self.places)

    def takeovers(self) -> list[str]:
        """Return the names of the writers whose first transaction is there, in order."""
        end = self.broker.watermarks(self.authority).high
        with self.broker.reader({self.authority: 0}) as reader:
            entries = [
                json.loads(record.value)
                for record in read_until(reader, self.authority, end, timeout=LONG)
            ]
        assert [number for _, number in entries] == list(range(1, len(entries) + 1)), entries
        return [name for name, _ in entries]


def set_stage(broker: KafkaBroker) -> Stage:
    def topic() -> Partition:
        name = f"test.{uuid.uuid4().hex}"
        broker.administration().create(name, TopicState(1))
        return Partition(name, 0)

    return Stage(broker, (topic(), topic()), topic())


def dice(seed: int) -> random.Random:
    return random.Random(seed)


@pytest.fixture
def stage(kafka_broker: KafkaBroker) -> Stage:
    return set_stage(kafka_broker)


@pytest.fixture
def spawn(tmp_path: Path) -> Iterator[Spawn]:
    """Start writer processes; whatever happens, none outlives the test."""
    started: list[WriterProcess] = []

    def start(options: Options) -> WriterProcess:
        log = tmp_path / f"writer-{len(started)}.log"
        started.append(WriterProcess(options, log))
        return started[-1]

    yield start
    for process in started:
        process.close()


@pytest.fixture(scope="module")
def own_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalKafka]:
    """A broker that a test may kill: its data outlive it."""
    with LocalKafka(tmp_path_factory.mktemp("kafka")) as running:
        yield running


@pytest.fixture
def party_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalKafka]:
    """A cluster of a party's own, which may go away and come back."""
    with LocalKafka(tmp_path_factory.mktemp("own"), heap_mb=256) as running:
        yield running


@pytest.fixture(scope="session")
def recipe() -> Recipe:
    return jobs.export()


@pytest.fixture(scope="session")
def other(recipe: Recipe) -> Judged:
    """What jobs with two trainers come to when nothing is done to them."""
    return undisturbed(recipe, PASSES, SLOTS)


@pytest.fixture
def new_job(
    kafka: LocalKafka, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[NewJob]:
    """Start jobs whose workers are started again as after a first death, however often they died.

    Nothing of them outlives the test.
    """
    monkeypatch.setattr(services, "LONGEST_BACKOFF", services.FIRST_BACKOFF)
    with new_jobs(tmp_path_factory.mktemp("c"), kafka.bootstrap_servers) as make:
        yield make
