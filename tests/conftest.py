"""What tests share: a real Kafka for the session, both brokers behind one fixture, fresh topics."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Callable, Iterator

import pytest
from hypothesis import settings

from chiron_stream.broker.kafka import KafkaBroker
from chiron_stream.broker.local import LocalKafka
from chiron_stream.broker.memory import MemoryBroker
from chiron_stream.broker.records import Partition, TopicState
from chiron_stream.broker.seam import Broker

# A noisy machine is no finding; a slow example shows in the time limit of the test.
settings.register_profile("noisy", deadline=None)
settings.load_profile("noisy")

NewTopic = Callable[..., Partition]


@pytest.fixture(autouse=True)
def numbers_as_python_has_them() -> None:
    """Undo what an earlier test of this process set up for training: denormals count again.

    Hypothesis draws denormals where it saw them when it was loaded.
    """
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_flush_denormal(False)


@pytest.fixture(scope="session")
def kafka() -> Iterator[LocalKafka]:
    """One real Apache Kafka for this test process."""
    with LocalKafka() as running:
        yield running


@pytest.fixture
def kafka_broker(kafka: LocalKafka) -> Iterator[KafkaBroker]:
    with KafkaBroker(kafka.bootstrap_servers) as broker:
        yield broker


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.kafka)])
def broker(request: pytest.FixtureRequest) -> Iterator[Broker]:
    """Both implementations of the seam, one after the other."""
    if request.param == "memory":
        yield MemoryBroker()
    else:
        with KafkaBroker(request.getfixturevalue("kafka").bootstrap_servers) as broker:
            yield broker


@pytest.fixture
def new_topic(broker: Broker) -> NewTopic:
    """Make topics that no other test has."""
    return topic_maker(broker)


def topic_maker(broker: Broker) -> NewTopic:
    def make(partitions: int = 1, **settings: str) -> Partition:
        name = f"test.{uuid.uuid4().hex}"
        broker.administration().create(name, TopicState(partitions, None, settings))
        return Partition(name, 0)

    return make
