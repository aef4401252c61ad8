"""Whoever can write to the topics of parties and workers writes what is no record of this job."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import confluent_kafka
import pytest
from kafka import KafkaProducer

from chiron_stream.broker.local import LocalKafka
from chiron_stream.job.file import Job
from chiron_stream.local.directory import JobDirectory
from chiron_stream.local.running import RunningJob
from chiron_stream.recipe import Recipe
from tests.jobs import jobs
from tests.jobs.conftest import NewDirectory
from tests.jobs.jobs import Parties
from tests.kafka.processes import eventually

pytestmark = pytest.mark.kafka

PARTITIONS = {"shards": 4, "queries": 4}
READ_IN_ORDER = ("control", "workers", "presence", "updates", "queries")
"""Topics that somebody follows: each record of them is met. The others are looked into."""
LOOKED_INTO = ("bulk", "shards", "update-chunks")
NOISE: dict[str, bytes | None] = {
    "tombstone": None,
    "empty": b"",
    "one byte": b"\x00",
    "text": b'{"hello": "world"}',
    "another document": bytes.fromhex("8100cd0190"),
    "deeply nested": b"\x91" * 4000,
    "a length that is a lie": b"\xdf\xff\xff\xff\xff",
    "magic of a shard": b"CSd1" + bytes(60),
    "magic of a query": b"CSq1" + bytes(60),
    "random": os.urandom(200),
    "large": os.urandom(60_000),
}
"""Values that are no record of any topic here."""

Place = tuple[str, int, int]


@dataclass
class Survived:
    """A job that was run while noise was written; ``noise`` by topic, partition and offset."""

    directory: JobDirectory
    running: RunningJob
    noise: dict[Place, bytes] = field(default_factory=dict)
    right_answers: int = 0


def write(job: Job, topic: str, partition: int, values: list[Any], **options: Any) -> list[int]:
    """Append values as any Kafka client can, with what headers and keys it likes."""
    producer = KafkaProducer(bootstrap_servers=job.bootstrap_servers, **options)
    name = jobs.place(job, topic).topic
    try:
        sent = [
            producer.send(
                name, value, key=b"\xff" * 9, headers=[("mark", b"x")], partition=partition
            )
            for value in values
        ]
        return [one.get(30).offset for one in sent]
    finally:
        producer.close()


def make_noise(survived: Survived, values: dict[str, list[Any]], **options: Any) -> None:
    job = survived.directory.job()
    for topic, some in values.items():
        for partition in range(PARTITIONS.get(topic, 1)):
            offsets = write(job, topic, partition, some, **options)
            for offset, value in zip(offsets, some, strict=True):
                survived.noise[topic, partition, offset] = value or b""


def altered(job: Job, topic: str) -> list[bytes]:
    """Return some of a topic's own records cut, lengthened, and with one byte changed."""
    values = [
        record.value
        for partition in range(PARTITIONS.get(topic, 1))
        for record in jobs.records(job, topic, partition)
        if len(record.value) > 100 and record.value not in NOISE.values()
    ]
    assert values, topic
    found = []
    for value in {values[0], values[-1]}:
        found += [value[:-1], value + b"\x00"]
        if topic in ("control", "presence", "queries"):  # elsewhere it may count as a resend
            middle = len(value) // 2
            found.append(value[:middle] + bytes([value[middle] ^ 1]) + value[middle + 1 :])
    return found


@pytest.fixture
def survived(kafka: LocalKafka, new_directory: NewDirectory, recipe: Recipe) -> Iterator[Survived]:
    directory = new_directory()
    noise = {topic: list(NOISE.values()) for topic in (*READ_IN_ORDER, *LOOKED_INTO)}
    with RunningJob(directory, bootstrap_servers=kafka.bootstrap_servers) as running:
        found = Survived(directory, running)
        jobs.reaches(directory, "waiting")  # from here on it follows the heartbeats too
        make_noise(found, noise)
        with Parties(directory) as parties:
            parties.provider().publish(recipe)
            parties.publish("alice")
            make_noise(found, noise, compression_type="gzip")
            parties.publish("anna")
            make_noise(found, noise)
            jobs.reaches(directory, "finished")
            for one in parties.published.values():
                one.wait("trained", 30)
            parties.right_answers(4)
            job = directory.job()
            make_noise(found, {topic: altered(job, topic) for topic in READ_IN_ORDER})
            found.right_answers = parties.right_answers(40)
        yield found


def met(survived: Survived) -> dict[Place, tuple[str, bytes]]:
    """Wait until all noise on followed topics is rejected; return codes and digests by place."""
    expected = {place for place in survived.noise if place[0] in READ_IN_ORDER}
    found: dict[Place, tuple[str, bytes]] = {}

    def all_there() -> bool:
        found.update(
            {
                (one.topic, one.partition, one.offset): (one.code, one.digest)
                for one in jobs.rejected(survived.directory.job())
            }
        )
        return expected <= set(found)

    eventually(all_there, "every record is rejected")
    return found


def test_job_survives_whatever_is_written_to_its_topics(survived: Survived) -> None:
    assert jobs.finished_right(survived.directory)
    assert survived.right_answers >= 34
    told = jobs.progress(survived.directory)
    assert (told["epoch"], told["void"], told["parked"]) == (1, 0, 0)
    starts = {name: one.starts for name, one in survived.running.services.items()}
    assert starts == {"coordinator-0": 1, "trainer-0": 1, "predictor-0": 1}
    found = met(survived)
    each_is_rejected_with_its_digest(survived, found)
    assert set(found) <= set(survived.noise), "nothing but the noise is rejected"
    every_code_is_in_the_documentation({code for code, _digest in found.values()})
    shown = [record.value for record in jobs.records(survived.directory.job(), "rejected")]
    assert max(map(len, shown)) < 200, "nothing of what was written is said"


def each_is_rejected_with_its_digest(
    survived: Survived, found: dict[Place, tuple[str, bytes]]
) -> None:
    for place, value in survived.noise.items():
        if place[0] in READ_IN_ORDER:
            assert found[place][1] == hashlib.sha256(value).digest(), place


def every_code_is_in_the_documentation(codes: set[str]) -> None:
    text = (Path(__file__).parents[2] / "docs" / "errors.md").read_text()
    assert len(codes) > 2
    assert codes <= set(re.findall(r"`([A-Z_]+)`", text))


BAD_NAME = type("BadName", (str,), {"encode": lambda *_arguments: b"\xff\xfe"})
"""A header's name that is no UTF-8, which brokers take and kafka-python does not read."""


def write_poison(job: Job, kind: str) -> None:
    name = jobs.place(job, "control").topic
    if kind == "header":
        producer = KafkaProducer(bootstrap_servers=job.bootstrap_servers)
        producer.send(name, b"x", headers=[(BAD_NAME("xx"), b"")], partition=0).get(30)
        producer.close()
        return
    settings = {"bootstrap.servers": job.bootstrap_servers, "compression.type": kind}
    compressing = confluent_kafka.Producer(settings)
    for _ in range(10):
        compressing.produce(name, b"not a record" * 50, partition=0)
    assert compressing.flush(30) == 0


@pytest.mark.parametrize("kind", ["zstd", "header"])
def test_record_that_the_client_library_cannot_decode_stops_nobody(
    kafka: LocalKafka, new_directory: NewDirectory, kind: str
) -> None:
    directory = new_directory()
    with RunningJob(
        directory, bootstrap_servers=kafka.bootstrap_servers, workers={"coordinator": 1}
    ) as running:
        jobs.reaches(directory, "waiting")
        write_poison(running.job, kind)
        (coordinator,) = running.services.values()
        eventually(
            lambda: coordinator.starts > 1 or bool(jobs.rejected(running.job)),
            "the coordinator has met it",
        )
        assert coordinator.starts == 1
