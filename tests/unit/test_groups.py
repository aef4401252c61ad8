"""Sharing a topic: acknowledged in order, and nothing that is open is acknowledged by accident."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from chiron_stream.broker.groups import InOrder
from chiron_stream.broker.memory import MemoryBroker
from chiron_stream.broker.memory.groups import MemoryGroup, MemoryGroups
from chiron_stream.broker.records import Outgoing, Partition, TopicState

PLACE = Partition("queries", 0)
OTHER = Partition("queries", 1)


def opened(*offsets: int, place: Partition = PLACE) -> InOrder[int]:
    order: InOrder[int] = InOrder()
    for offset in offsets:
        order.opened(place, offset, offset)
    return order


def test_record_waits_for_those_before_it() -> None:
    order = opened(10, 11, 12)
    assert order.settled(PLACE, [11, 12]) == []
    assert order.settled(PLACE, [10]) == [10, 11, 12]


def test_partitions_do_not_wait_for_each_other() -> None:
    order = opened(10, 11)
    order.opened(OTHER, 5, 5)
    assert order.settled(OTHER, [5]) == [5]
    assert len(order) == 2


def test_gaps_between_offsets_are_normal() -> None:
    assert opened(10, 13, 20).settled(PLACE, [10, 13]) == [10, 13]


def test_partition_that_comes_back_begins_anew() -> None:
    order = opened(10, 11, 12)
    order.settled(PLACE, [11])
    order.opened(PLACE, 11, 11)
    assert order.settled(PLACE, [10]) == []
    assert order.settled(PLACE, [11]) == [11]


def test_settling_what_is_not_open_says_nothing() -> None:
    order = opened(10)
    assert order.settled(OTHER, [10]) == []
    assert order.settled(PLACE, [10]) == [10]
    assert order.settled(PLACE, [10]) == []


@given(st.permutations(range(8)), st.integers(1, 4))
def test_whatever_order_they_are_settled_in_they_are_acknowledged_in_theirs(
    order: list[int], size: int
) -> None:
    tracker = opened(*range(8))
    acknowledged: list[int] = []
    settled: set[int] = set()
    for start in range(0, 8, size):
        part = order[start : start + size]
        settled.update(part)
        acknowledged += tracker.settled(PLACE, part)
        whole = next((n for n in range(8) if n not in settled), 8)
        assert acknowledged == list(range(whole))


class Shared:
    """A topic of four partitions with two records each, and its group."""

    def __init__(self) -> None:
        self.broker = MemoryBroker()
        self.broker.administration().create("queries", TopicState(partitions=4))
        self.groups = MemoryGroups(self.broker, lambda _topic: 4)
        producer = self.broker.producer()
        for n in range(8):
            producer.send(Outgoing(Partition("queries", n % 4), b"%d" % n)).result()

    def join(self) -> MemoryGroup:
        member = self.groups.join("queries", lambda: None)
        assert isinstance(member, MemoryGroup)
        return member


def drained(member: MemoryGroup) -> list[bytes]:
    values: list[bytes] = []
    while member.waits():
        values += [record.value for record in member.taken(3)]
    return sorted(values)


def test_one_member_has_everything_and_two_have_half_each() -> None:
    shared = Shared()
    first, second = shared.join(), shared.join()
    assert len(drained(first)) == len(drained(second)) == 4
    alone = Shared()
    assert len(drained(alone.join())) == 8


def test_what_a_member_left_open_comes_to_the_other() -> None:
    shared = Shared()
    first, second = shared.join(), shared.join()
    (record, *_) = [one for _ in range(2) if first.waits() for one in first.taken(1)]
    first.settle(record.partition, [record.offset])
    seen = drained(second)
    first.close()
    seen += drained(second)
    assert sorted(set(seen)) == sorted({b"%d" % n for n in range(8)} - {record.value})


def test_member_that_left_gets_nothing_more() -> None:
    shared = Shared()
    first, second = shared.join(), shared.join()
    first.close()
    assert len(drained(second)) == 8
    assert not first.waits()
