"""aiokafka and librdkafka, in the same shapes as :mod:`benchmarks.clients`, with like settings."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import aiokafka
import confluent_kafka

from benchmarks.bench import Stage
from benchmarks.clients import ACKNOWLEDGED_WITHIN, POLL_RECORDS, AppendAll, ReadAll, exactly
from chiron_stream import timeouts
from chiron_stream.broker.kafka.producing import BATCH_BYTES
from chiron_stream.broker.kafka.reading import FETCH_BYTES
from chiron_stream.broker.records import Isolation, Partition


@contextmanager
def aiokafka_appender(stage: Stage, partition: Partition) -> Iterator[AppendAll]:
    """Append through aiokafka, on an event loop of its own."""
    with asyncio.Runner() as runner:
        producer = runner.run(_start_aiokafka_producer(stage.endpoint))

        async def append_all(payload: bytes, count: int) -> None:
            topic, number = partition
            async with asyncio.timeout(ACKNOWLEDGED_WITHIN):
                sends = [await producer.send(topic, payload, None, number) for _ in range(count)]
                await asyncio.gather(*sends)

        try:
            yield lambda payload, count: runner.run(append_all(payload, count))
        finally:
            runner.run(producer.stop())


async def _start_aiokafka_producer(endpoint: str) -> Any:
    producer = aiokafka.AIOKafkaProducer(
        bootstrap_servers=endpoint,
        acks="all",
        enable_idempotence=True,
        linger_ms=0,
        max_batch_size=BATCH_BYTES,
    )
    await producer.start()
    return producer


@contextmanager
def aiokafka_reader(stage: Stage, partition: Partition) -> Iterator[ReadAll]:
    """Read through aiokafka, on an event loop of its own."""
    with asyncio.Runner() as runner:
        consumer = runner.run(_start_aiokafka_consumer(stage.endpoint, partition))

        async def read_all(count: int) -> int:
            sizes: list[int] = []
            async with asyncio.timeout(timeouts.READ):
                while len(sizes) < count:
                    batches = await consumer.getmany(timeout_ms=500, max_records=POLL_RECORDS)
                    for messages in batches.values():
                        sizes += [len(one.value) for one in messages]
            return exactly(count, sizes)

        try:
            yield lambda count: runner.run(read_all(count))
        finally:
            runner.run(consumer.stop())


async def _start_aiokafka_consumer(endpoint: str, partition: Partition) -> Any:
    consumer = aiokafka.AIOKafkaConsumer(
        bootstrap_servers=endpoint,
        enable_auto_commit=False,
        fetch_max_wait_ms=250,
        isolation_level=Isolation.READ_COMMITTED.value,
        max_partition_fetch_bytes=FETCH_BYTES,
    )
    await consumer.start()
    place = aiokafka.TopicPartition(*partition)
    consumer.assign([place])
    consumer.seek(place, 0)
    return consumer


@contextmanager
def librdkafka_appender(stage: Stage, partition: Partition) -> Iterator[AppendAll]:
    """Append through librdkafka, by confluent-kafka."""
    settings: dict[str, Any] = {
        "bootstrap.servers": stage.endpoint,
        "acks": "all",
        "batch.size": BATCH_BYTES,
        "enable.idempotence": True,
        "linger.ms": 0,
    }
    producer = confluent_kafka.Producer(settings)
    topic, number = partition

    def append_all(payload: bytes, count: int) -> None:
        outcomes: list[object] = []

        def note(error: object, _message: object) -> None:
            outcomes.append(error)

        for _ in range(count):
            producer.produce(topic, payload, partition=number, on_delivery=note)
            producer.poll(0)
        producer.flush(ACKNOWLEDGED_WITHIN)
        if outcomes != [None] * count:
            raise RuntimeError(f"{outcomes.count(None)} of {count} records were acknowledged")

    yield append_all


@contextmanager
def librdkafka_reader(stage: Stage, partition: Partition) -> Iterator[ReadAll]:
    """Read through librdkafka, by confluent-kafka."""
    settings: dict[str, Any] = {
        "bootstrap.servers": stage.endpoint,
        "enable.auto.commit": False,
        "fetch.wait.max.ms": 250,
        "group.id": "bench",  # asked for, and not used: the partition is assigned
        "isolation.level": Isolation.READ_COMMITTED.value,
        "max.partition.fetch.bytes": FETCH_BYTES,
    }
    consumer = confluent_kafka.Consumer(settings)
    consumer.list_topics(partition.topic, timeout=timeouts.CONNECT)

    def read_all(count: int) -> int:
        # Its threads begin to fetch when a partition is assigned, so that this is measured.
        consumer.assign([confluent_kafka.TopicPartition(*partition, 0)])
        sizes: list[int] = []
        deadline = time.monotonic() + timeouts.READ
        while len(sizes) < count and time.monotonic() < deadline:
            messages = consumer.consume(min(POLL_RECORDS, count - len(sizes)), timeout=0.5)
            sizes += [len(one.value() or b"") for one in messages]
        return exactly(count, sizes)

    try:
        yield read_all
    finally:
        consumer.close()
