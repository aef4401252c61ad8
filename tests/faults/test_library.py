"""What kafka-python does by itself: why a transactional producer's protocol is pinned."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from kafka import KafkaProducer
from kafka.errors import KafkaError

from chiron_stream.broker.kafka import KafkaBroker
from chiron_stream.broker.kafka.producing import producer_settings
from chiron_stream.broker.kafka.transactions import PROTOCOL
from chiron_stream.broker.records import TopicState
from tests.faults.judging import wait_until

pytestmark = [pytest.mark.faults, pytest.mark.kafka]


@contextmanager
def raw_writer(broker: KafkaBroker, name: str, protocol: tuple[int, int] | None) -> Iterator[Any]:
    connection = {"bootstrap_servers": broker.endpoint}
    settings = {**producer_settings(connection), "api_version": protocol}
    producer = KafkaProducer(**settings, transactional_id=name, retry_backoff_ms=2)
    producer.init_transactions()
    yield producer
    producer.close(timeout=5)


@pytest.mark.parametrize("protocol", [PROTOCOL, None], ids=["pinned", "control-not-pinned"])
def test_zombie_that_sends_voids_its_successors_transaction_only_without_the_pin(
    kafka_broker: KafkaBroker, protocol: tuple[int, int] | None
) -> None:
    name = f"test.{uuid.uuid4().hex}"
    kafka_broker.administration().create(name, TopicState(1))
    with raw_writer(kafka_broker, name, protocol) as zombie:
        zombie.begin_transaction()
        zombie.send(name, b"before", partition=0).get(10)
        with raw_writer(kafka_broker, name, protocol) as successor:
            successor.begin_transaction()
            successor.send(name, b"first", partition=0).get(10)
            with pytest.raises(KafkaError):
                zombie.send(name, b"after", partition=0).get(10)
            if protocol is None:
                wait_until(lambda: cannot_send(successor, name), "the successor is fenced")
            else:
                for _ in range(100):
                    successor.send(name, b"more", partition=0).get(10)
                successor.commit_transaction()


def cannot_send(producer: Any, topic: str) -> bool:
    try:
        producer.send(topic, b"more", partition=0).get(10)
    except KafkaError:
        return True
    return False
