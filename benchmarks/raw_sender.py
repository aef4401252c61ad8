"""The baseline of :mod:`benchmarks.ingesting`: kafka-python, from a topic or a file to a topic.

``python -m benchmarks.raw_sender`` reads what to do as JSON, and prints what
:mod:`benchmarks.peak` tells. Of so many rows at a time it makes records of given sizes: the rows'
own bytes, as they came, cut or filled up with zeros. It understands no row: JSON and CSV stay
texts; Parquet is decoded, for its rows are nowhere else.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, Final

from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from benchmarks.clients import ACKNOWLEDGED_WITHIN, POLL_RECORDS
from benchmarks.peak import told
from chiron_stream import timeouts
from chiron_stream.broker.kafka.producing import producer_settings
from chiron_stream.broker.kafka.reading import COMMON

Given = Mapping[str, Any]
"""``kind`` and ``source``, ``endpoint``, ``topic`` and its ``partitions``, ``rows`` to a shard, and
``shards``: the sizes of the records of each."""


def send(given: Given) -> None:
    """Send everything, and wait until the broker has it."""
    producer = KafkaProducer(**producer_settings({"bootstrap_servers": [given["endpoint"]]}))
    futures: list[Any] = []
    contents = SOURCES[given["kind"]](given)
    for number, (sizes, content) in enumerate(zip(given["shards"], contents, strict=True)):
        place = number % given["partitions"]
        records = _records(content, sizes)
        futures += [producer.send(given["topic"], one, partition=place) for one in records]
    for future in futures:
        future.get(timeout=ACKNOWLEDGED_WITHIN)
    producer.close(timeout=timeouts.DELIVERY)


def _records(content: bytes, sizes: list[int]) -> Iterator[bytes]:
    at = 0
    for size in sizes:
        yield content[at : at + size].ljust(size, b"\0")
        at += size


def _lines(given: Given) -> Iterator[bytes]:
    with Path(given["source"]).open("rb") as file:
        next(file)  # the names
        while lines := list(islice(file, given["rows"])):
            yield b"".join(lines)


def _batches(given: Given) -> Iterator[bytes]:
    from pyarrow.parquet import ParquetFile

    with ParquetFile(given["source"]) as file:
        for batch in file.iter_batches(given["rows"], use_threads=False):
            yield b"".join(part for one in batch.columns for part in one.buffers() if part)


def _messages(given: Given) -> Iterator[bytes]:
    consumer = KafkaConsumer(**COMMON, bootstrap_servers=[given["endpoint"]])
    numbers = consumer.partitions_for_topic(given["source"])
    consumer.assign([TopicPartition(given["source"], one) for one in numbers])
    consumer.seek_to_beginning()
    values: list[bytes] = []
    left, deadline = len(given["shards"]), time.monotonic() + timeouts.READ
    while left and time.monotonic() < deadline:
        for messages in consumer.poll(timeout_ms=500, max_records=POLL_RECORDS).values():
            values += [one.value for one in messages]
        while len(values) >= given["rows"]:
            yield b"".join(values[: given["rows"]])
            del values[: given["rows"]]
            left, deadline = left - 1, time.monotonic() + timeouts.READ
    consumer.close(autocommit=False)


SOURCES: Final = {"csv": _lines, "parquet": _batches, "topic": _messages}
"""How a source is read: yields the bytes of the rows of each shard."""


if __name__ == "__main__":
    work = json.load(sys.stdin)
    print(json.dumps(told(lambda: send(work))))
