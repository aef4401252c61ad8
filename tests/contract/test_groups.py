"""Sharing a topic: the same cases for Faust over the real broker and for the in-memory group."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from chiron_stream.broker.groups import Group
from chiron_stream.broker.local import LocalKafka
from chiron_stream.broker.memory import MemoryBroker
from chiron_stream.broker.memory.groups import MemoryGroups
from chiron_stream.broker.records import Outgoing, Partition, Record
from chiron_stream.broker.seam import Broker
from enclave_workers.courier.predictor import FaustGroup
from tests.conftest import NewTopic

PARTITIONS = 4
LIMIT = 60.0

pytestmark = pytest.mark.timeout(180)

Arrived = Callable[[], None]
Join = Callable[[str], "Member"]


class Member:
    """A member of a group, and all that came to it."""

    def __init__(self, join: Callable[[Arrived], Group]) -> None:
        self._arrived = threading.Event()
        self._group = join(self._arrived.set)
        self.came: list[Record] = []

    def take(self) -> list[Record]:
        found = self._group.taken(100)
        self.came += found
        return found

    def take_until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + LIMIT
        while self.take() or not condition():
            assert time.monotonic() < deadline, f"{len(self.came)} records came"
            self._arrived.wait(0.02)
            self._arrived.clear()

    def settle(self, *records: Record) -> None:
        for record in records:
            self._group.settle(record.partition, [record.offset])

    @property
    def values(self) -> set[bytes]:
        return {record.value for record in self.came}

    def close(self) -> None:
        self._group.close()


@pytest.fixture
def join(broker: Broker, request: pytest.FixtureRequest) -> Iterator[Join]:
    """Join the one group of a topic."""
    with ExitStack() as stack:
        if isinstance(broker, MemoryBroker):
            groups = MemoryGroups(broker, lambda _topic: PARTITIONS)

            def enter(topic: str, arrived: Arrived) -> Group:
                return groups.join(topic, arrived)
        else:
            kafka: LocalKafka = request.getfixturevalue("kafka")

            def enter(topic: str, arrived: Arrived) -> Group:
                return FaustGroup(kafka.bootstrap_servers, {}, topic, f"group-{topic}", arrived)

        def make(topic: str) -> Member:
            member = Member(lambda arrived: enter(topic, arrived))
            stack.callback(member.close)
            return member

        yield make


def fill(broker: Broker, topic: str, count: int, first: int = 0) -> set[bytes]:
    values = [b"%d" % n for n in range(first, first + count)]
    with broker.producer() as producer:
        places = [Partition(topic, n % PARTITIONS) for n in range(count)]
        for place, value in zip(places, values, strict=True):
            producer.send(Outgoing(place, value))
    return set(values)


def test_one_member_gets_everything_in_the_order_of_each_partition(
    broker: Broker, new_topic: NewTopic, join: Join
) -> None:
    topic = new_topic(partitions=PARTITIONS).topic
    values = fill(broker, topic, 20)
    member = join(topic)
    member.take_until(lambda: member.values == values)
    for number in range(PARTITIONS):
        mine = [one.offset for one in member.came if one.partition.number == number]
        assert mine == list(range(5))


def test_what_a_member_settled_does_not_come_again_and_the_rest_does(
    broker: Broker, new_topic: NewTopic, join: Join
) -> None:
    topic = new_topic(partitions=PARTITIONS).topic
    values = fill(broker, topic, 20)
    first = join(topic)
    first.take_until(lambda: first.values == values)
    done = [one for one in first.came if one.offset < 3]
    first.settle(*done)
    first.close()
    second = join(topic)
    second.take_until(lambda: len(second.values) >= 8)
    more = fill(broker, topic, 4, first=20)
    second.take_until(lambda: more <= second.values)
    assert second.values == values - {one.value for one in done} | more


def test_what_is_settled_out_of_order_waits_for_what_is_open_before_it(
    broker: Broker, new_topic: NewTopic, join: Join
) -> None:
    topic = new_topic(partitions=PARTITIONS).topic
    values = fill(broker, topic, 12)
    first = join(topic)
    first.take_until(lambda: first.values == values)
    first.settle(*(one for one in first.came if one.offset > 0))
    first.close()
    second = join(topic)
    second.take_until(lambda: second.values == values)


def test_two_members_share_and_one_takes_over_what_the_other_leaves(
    broker: Broker, new_topic: NewTopic, join: Join
) -> None:
    topic = new_topic(partitions=PARTITIONS).topic
    first, second = join(topic), join(topic)
    sent: set[bytes] = set()

    def both() -> bool:
        return bool(first.values and second.values)

    deadline = time.monotonic() + LIMIT
    while not both():
        assert time.monotonic() < deadline, "the second never had a share"
        sent |= fill(broker, topic, PARTITIONS, first=len(sent))
        for member in (first, second):
            member.settle(*member.take())
    second.close()
    sent |= fill(broker, topic, 20, first=len(sent))
    first.take_until(lambda: first.values | second.values == sent)
