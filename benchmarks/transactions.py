"""What a transaction costs when one follows the other: the pace of a log-driven writer.

One record of 1 KB, begin to commit. The baseline is kafka-python's transactional producer with
Kafka's default ``retry.backoff.ms`` of 100: the broker answers CONCURRENT_TRANSACTIONS to a
transaction that comes right after another, and the client then waits that long.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from kafka import KafkaProducer

from benchmarks.bench import Bench, Figure, Goal, Stage
from benchmarks.clients import ACKNOWLEDGED_WITHIN
from benchmarks.measuring import percentile, timed_ms
from chiron_stream import timeouts
from chiron_stream.broker.extents import read_until
from chiron_stream.broker.kafka.producing import producer_settings
from chiron_stream.broker.records import Outgoing, Partition

NAME: Final = "transaction.back_to_back"
BLOCKS: Final = 6
OURS_IN_BLOCK: Final = 50
BASELINE_IN_BLOCK: Final = 10
RECORD: Final = os.urandom(1000)

Transact = Callable[[], None]
"""Runs one whole transaction."""


def benches() -> Iterator[Bench]:
    """Yield the one bench of this module."""
    yield Bench(NAME, "our writer against a bare transactional KafkaProducer", measure)


def measure(stage: Stage) -> list[Figure]:
    """Run blocks of transactions, ours and the baseline's in turn."""
    ours: list[float] = []
    baseline: list[float] = []
    blocks, share = stage.amount(BLOCKS, 1), stage.amount(OURS_IN_BLOCK, 10)
    with stage.topic() as partition:
        with _seam(stage, partition) as transact, _raw(stage, partition) as transact_raw:
            for _ in range(blocks):
                ours += [timed_ms(transact) for _ in range(share)]
                baseline += [timed_ms(transact_raw) for _ in range(BASELINE_IN_BLOCK)]
        _check_all_visible(stage, partition, len(ours) + len(baseline))
    goal = Goal("<", 20, of_ratio=False, unit="ms")
    return [
        Figure(f"{NAME}.p50", "ms", percentile(ours, 50), percentile(baseline, 50), goal),
        # No baseline: it is too slow for as many repetitions as a percentile of 99 asks for.
        Figure(f"{NAME}.p99", "ms", percentile(ours, 99)),
    ]


@contextmanager
def _seam(stage: Stage, partition: Partition) -> Iterator[Transact]:
    identity = f"bench-{uuid.uuid4().hex}"
    with stage.broker.transactional_writer(identity, successor=lambda: False) as writer:
        writer.start()

        def transact() -> None:
            transaction = writer.begin()
            transaction.send(Outgoing(partition, RECORD))
            transaction.commit()

        yield transact


@contextmanager
def _raw(stage: Stage, partition: Partition) -> Iterator[Transact]:
    settings = producer_settings({"bootstrap_servers": [stage.endpoint]})
    producer = KafkaProducer(**settings, transactional_id=f"bench-{uuid.uuid4().hex}")
    producer.init_transactions()

    def transact() -> None:
        producer.begin_transaction()
        future = producer.send(partition.topic, RECORD, partition=partition.number)
        future.get(timeout=ACKNOWLEDGED_WITHIN)
        producer.commit_transaction()

    try:
        yield transact
    finally:
        producer.close(timeout=timeouts.DELIVERY)


def _check_all_visible(stage: Stage, partition: Partition, expected: int) -> None:
    """Raise unless readers of committed records see every record, soon."""
    end = stage.broker.watermarks(partition).high
    with stage.broker.reader({partition: 0}) as reader:
        seen = sum(1 for _ in read_until(reader, partition, end))
    if seen != expected:
        raise RuntimeError(f"{seen} of {expected} committed records are visible")
