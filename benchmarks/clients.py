"""Our seam and a raw kafka-python client, each as "append all" and "read all".

Both shapes are what :mod:`benchmarks.throughput` and :mod:`benchmarks.cpu` compare. Opening and
closing a client is not measured; waiting for every acknowledgement is.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final

from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from benchmarks.bench import Stage
from chiron_stream import timeouts
from chiron_stream.broker.extents import read_until
from chiron_stream.broker.kafka.producing import producer_settings
from chiron_stream.broker.kafka.reading import COMMON as CONSUMER_SETTINGS
from chiron_stream.broker.records import Isolation, Outgoing, Partition

AppendAll = Callable[[bytes, int], None]
"""Appends a value so many times and returns when every record is acknowledged."""

ReadAll = Callable[[int], int]
"""Reads so many records from offset 0 and returns the bytes of their values."""

OpenAppender = Callable[[Stage, Partition], AbstractContextManager[AppendAll]]
OpenReader = Callable[[Stage, Partition], AbstractContextManager[ReadAll]]

POLL_RECORDS: Final = 500
"""Records of one poll, at most: the default of the seam and of Kafka's own consumer."""

ACKNOWLEDGED_WITHIN: Final = timeouts.DELIVERY + timeouts.REQUEST
"""Seconds to wait for an acknowledgement, as the seam does."""


@contextmanager
def seam_appender(stage: Stage, partition: Partition) -> Iterator[AppendAll]:
    """Append through the seam's plain producer."""
    with stage.broker.producer() as producer:

        def append_all(payload: bytes, count: int) -> None:
            deliveries = [producer.send(Outgoing(partition, payload)) for _ in range(count)]
            for delivery in deliveries:
                delivery.result()

        yield append_all


@contextmanager
def raw_appender(stage: Stage, partition: Partition) -> Iterator[AppendAll]:
    """Append through kafka-python itself, with the seam's settings."""
    producer = KafkaProducer(**producer_settings({"bootstrap_servers": [stage.endpoint]}))
    topic, number = partition

    def append_all(payload: bytes, count: int) -> None:
        futures = [producer.send(topic, payload, partition=number) for _ in range(count)]
        for future in futures:
            future.get(timeout=ACKNOWLEDGED_WITHIN)

    try:
        yield append_all
    finally:
        producer.close(timeout=timeouts.DELIVERY)


@contextmanager
def seam_reader(stage: Stage, partition: Partition) -> Iterator[ReadAll]:
    """Read through the seam's reader, to a named end."""
    with stage.broker.reader({partition: 0}) as reader:

        def read_all(count: int) -> int:
            return exactly(count, (len(one.value) for one in read_until(reader, partition, count)))

        yield read_all


@contextmanager
def raw_reader(stage: Stage, partition: Partition) -> Iterator[ReadAll]:
    """Read through kafka-python itself, with the seam's settings."""
    consumer = KafkaConsumer(
        **CONSUMER_SETTINGS,
        bootstrap_servers=[stage.endpoint],
        isolation_level=Isolation.READ_COMMITTED.value,
    )
    place = TopicPartition(*partition)
    consumer.assign([place])
    consumer.seek(place, 0)
    try:
        yield lambda count: exactly(count, (len(one.value) for one in _polled(consumer, count)))
    finally:
        consumer.close(autocommit=False)


def _polled(consumer: Any, count: int) -> Iterator[Any]:
    """Yield ``count`` messages of a kafka-python consumer, or what came in time."""
    left, deadline = count, time.monotonic() + timeouts.READ
    while left > 0 and time.monotonic() < deadline:
        for messages in consumer.poll(timeout_ms=500, max_records=POLL_RECORDS).values():
            left -= len(messages)
            yield from messages


def exactly(count: int, sizes: Iterable[int]) -> int:
    """Return the sum of the sizes; there must be ``count`` of them."""
    number = total = 0
    for size in sizes:
        number += 1
        total += size
    if number != count:
        raise RuntimeError(f"{number} records were read instead of {count}")
    return total
