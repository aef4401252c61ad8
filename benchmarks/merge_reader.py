"""The baseline of :mod:`benchmarks.merging`: reads extents with a KafkaConsumer, and no more.

``python -m benchmarks.merge_reader`` reads endpoint, topic and extents (partition, first and last
offset) as JSON, and prints the bytes that it read, seconds and CPU seconds. The consumer has the
seam's settings, and fetches from all partitions at once.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from typing import Any

from kafka import KafkaConsumer, TopicPartition

from benchmarks.clients import POLL_RECORDS
from benchmarks.measuring import sample
from chiron_stream import timeouts
from chiron_stream.broker.kafka.reading import COMMON


def main(given: Mapping[str, Any]) -> dict[str, float]:
    """Read once; opening the consumer is not measured."""
    ends: dict[TopicPartition, int] = {}
    firsts: dict[TopicPartition, int] = {}
    for partition, first, last in given["extents"]:
        place = TopicPartition(given["topic"], partition)
        firsts[place] = min(first, firsts.get(place, first))
        ends[place] = max(last + 1, ends.get(place, 0))
    consumer = KafkaConsumer(**COMMON, bootstrap_servers=[given["endpoint"]])
    consumer.assign(list(ends))
    for place, first in firsts.items():
        consumer.seek(place, first)
    for place in firsts:
        consumer.position(place)
    sizes: list[int] = []
    count = sum(ends[place] - firsts[place] for place in ends)
    result = sample(1, lambda: sizes.extend(read(consumer, count)))
    consumer.close(autocommit=False)
    return {"size": sum(sizes), "wall": result.wall, "cpu": result.cpu}


def read(consumer: Any, count: int) -> list[int]:
    """Read so many records; return the sizes of their values."""
    sizes: list[int] = []
    deadline = time.monotonic() + timeouts.READ
    while len(sizes) < count and time.monotonic() < deadline:
        most = min(count - len(sizes), POLL_RECORDS)
        for messages in consumer.poll(timeout_ms=500, max_records=most).values():
            sizes += [len(one.value) for one in messages]
    return sizes


if __name__ == "__main__":
    print(json.dumps(main(json.load(sys.stdin))))
