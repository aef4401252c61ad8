"""Publishing rows against a bare KafkaProducer that sends the same sealed bytes.

Ours checks every row, packs, seals, sends, announces, and waits until the coordinator has accepted;
the baseline only sends, with the settings that our producer has.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Sequence
from typing import Final

from kafka import KafkaProducer

from benchmarks import jobs
from benchmarks.bench import Bench, Figure, Goal, Stage
from benchmarks.workloads import mlp
from chiron_stream.broker.kafka.producing import producer_settings
from chiron_stream.clients.owner import DataOwner
from chiron_stream.clients.publication import Publication

FEATURES: Final = 256
ROWS: Final = 100_000
TURNS: Final = 5
GOAL: Final = Goal(">=", 0.80)


def benches() -> Iterator[Bench]:
    """Yield the one bench of this module."""
    about = "100,000 rows of 1 kB: checked, sealed, sent, accepted; against sending the same bytes"
    yield Bench("publishing", about, measure, ("numpy", "cryptography"))


def measure(stage: Stage) -> list[Figure]:
    """Publish one data set a turn, and send the same bytes bare, in turn."""
    turns = stage.amount(TURNS, 1) + 1
    workload = mlp(FEATURES)
    data = workload.rows(stage.amount(ROWS, 5_000), 0)
    names = [f"d{turn}" for turn in range(turns)]
    ours: list[float] = []
    bare: list[float] = []
    table = jobs.terms(workload, names)
    with (
        jobs.running(stage, table, {"coordinator": 1}) as job,
        DataOwner(job.job, job.directory.identity("alice"), evidence=jobs.SIMULATED) as owner,
        stage.topic(4) as place,
    ):
        for name in names:
            began = time.perf_counter()
            publication = owner.publish(data, dataset=name)
            publication.wait("accepted")
            ours.append(time.perf_counter() - began)
            records = _records(publication)
            bare.append(_bare(stage.endpoint, place.topic, records))
            publication.close()
    size = sum(len(record) for record in records) / 1e6
    ours_rate, bare_rate = (size / statistics.median(one[1:]) for one in (ours, bare))
    return [
        Figure("publishing", "MB/s", ours_rate, bare_rate, GOAL),
        Figure("publishing.rows", "rows/s", len(data["y"]) / statistics.median(ours[1:])),
    ]


def _records(publication: Publication) -> list[bytes]:
    sealed = [publication.sealed_again(place)[1] for place in range(len(publication.sent))]
    return [record for records in sealed for record in records]


def _bare(endpoint: str, topic: str, records: Sequence[bytes]) -> float:
    producer = KafkaProducer(**producer_settings({"bootstrap_servers": endpoint}))
    try:
        producer.send(topic, b"warm", partition=0).get(10)
        began = time.perf_counter()
        futures = [
            producer.send(topic, record, partition=number % 4)
            for number, record in enumerate(records)
        ]
        for future in futures:
            future.get(30)
        return time.perf_counter() - began
    finally:
        producer.close()
