"""A sink in an application of the owner's own, which is killed: each record is one row."""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

import pytest

from chiron_stream.bridge.positions import Position
from chiron_stream.bridge.sink import faust_sink
from chiron_stream.broker.kafka import KafkaBroker
from chiron_stream.broker.local import LocalKafka
from chiron_stream.broker.records import Outgoing, Partition, TopicState
from chiron_stream.errors import UsageRefused
from chiron_stream.local.directory import JobDirectory
from chiron_stream.local.running import RunningJob
from tests.jobs import jobs
from tests.jobs.command import clean_environment
from tests.jobs.conftest import NewDirectory
from tests.jobs.test_publishing import COORDINATOR, OPEN
from tests.kafka.processes import eventually

pytestmark = pytest.mark.kafka

ROWS: Final = 60
KILLS: Final = 3
LIMIT: Final = 90.0


@pytest.fixture(scope="module")
def directory(kafka: LocalKafka, new_directory: NewDirectory) -> Iterator[JobDirectory]:
    """A job that takes data sets of any name, and has nothing but a coordinator."""
    made = new_directory(owners=["alice"], schedule=OPEN, shard_classes=[[1, 8192]])
    with RunningJob(made, bootstrap_servers=kafka.bootstrap_servers, workers=COORDINATOR):
        yield made


def produce(broker: KafkaBroker, topic: str, dice: random.Random) -> None:
    """Append rows, and now and then a record that the agent leaves out."""
    table = jobs.rows("alice")
    with broker.producer() as producer:
        for number in range(ROWS):
            row = {**jobs.row(table, number), "size": table["size"][number]}
            values = [json.dumps(row).encode(), *([b"{}"] if dice.random() < 0.2 else [])]
            for value in values:
                place = Partition(topic, dice.randrange(2))
                producer.send(Outgoing(place, value)).result()


@contextmanager
def running(servers: str, topic: str, directory: JobDirectory, log: Path) -> Iterator[None]:
    """Run the application until the end of a block, and kill it then."""
    command = [sys.executable, "-m", "tests.jobs.sink_app", servers, topic, str(directory.path)]
    with log.open("w") as out:
        process = subprocess.Popen(
            command, stdout=out, stderr=subprocess.STDOUT, env=clean_environment()
        )
    try:
        yield
        assert process.poll() is None, log.read_text()
    finally:
        process.kill()
        process.wait()


def accepted(directory: JobDirectory) -> int:
    return int(jobs.progress(directory).get("accepted", 0))


def rows_accepted(directory: JobDirectory) -> int:
    """Return how many rows all accepted shards have, by the newest resume token.

    That claims the data set: whoever published it before is superseded.
    """
    with jobs.Parties(directory) as parties:
        session = parties.owner("alice").open(data_set="sunk")
        session.replies.close()
    token = session.accept.token
    return Position.unpack(token).rows if token else 0


def test_sink_of_a_killed_application_makes_one_row_of_each_record(
    kafka: LocalKafka, directory: JobDirectory, tmp_path: Path
) -> None:
    topic, dice = f"own.{uuid.uuid4().hex}", random.Random(5)
    produced, found, lives = 0, 0, 0
    with KafkaBroker(kafka.bootstrap_servers) as broker:
        broker.administration().create(topic, TopicState(2))
        while lives < KILLS or found < produced:
            if lives < KILLS:
                produce(broker, topic, dice)
                produced += ROWS
            shards, log = accepted(directory), tmp_path / f"{lives}.log"
            with running(kafka.bootstrap_servers, topic, directory, log):
                eventually(partial(_grown, directory, shards), "some shards", LIMIT)
            lives, found = lives + 1, rows_accepted(directory)
            print(f"life {lives}: {found} of {produced} rows")
            assert found <= produced
    assert found == KILLS * ROWS


def _grown(directory: JobDirectory, shards: int) -> bool:
    return accepted(directory) > shards


def test_sink_takes_nothing_outside_of_an_agent(directory: JobDirectory) -> None:
    with jobs.Parties(directory) as parties:
        sink = faust_sink(parties.owner("alice"), "sunk")
        with pytest.raises(UsageRefused, match="what an agent yields"):
            asyncio.run(sink({"width": 1}))
        sink.close()
