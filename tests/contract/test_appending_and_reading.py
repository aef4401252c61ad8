"""Records outside transactions: the same cases for the real broker and the in-memory one."""

from __future__ import annotations

import time

import pytest

from chiron_stream.broker.extents import locate, read_extent, read_until
from chiron_stream.broker.records import Extent, Isolation, Outgoing, Partition, Record
from chiron_stream.broker.seam import Broker
from chiron_stream.errors import PolicyRefused, RolledBack, Timeout, UsageRefused, Withheld
from tests.conftest import NewTopic


def fill(broker: Broker, partition: Partition, *values: bytes) -> list[int]:
    with broker.producer() as producer:
        deliveries = [producer.send(Outgoing(partition, value)) for value in values]
        return [delivery.result().offset for delivery in deliveries]


def read_all(broker: Broker, partition: Partition, first: int = 0) -> list[Record]:
    end = broker.watermarks(partition).high
    with broker.reader({partition: first}) as reader:
        return list(read_until(reader, partition, end, timeout=10))


def test_records_come_back_in_order_with_key_headers_and_offset(
    broker: Broker, new_topic: NewTopic
) -> None:
    place = new_topic()
    sent = [
        Outgoing(place, b"one", key=b"k", headers=(("h", b"1"), ("h", b"2"))),
        Outgoing(place, b"", key=b"only a key"),
        Outgoing(place, b"three"),
    ]
    with broker.producer() as producer:
        offsets = [producer.send(record).result().offset for record in sent]
    got = read_all(broker, place)
    assert offsets == [0, 1, 2]
    assert [(r.value, r.key, r.headers) for r in got] == [(r.value, r.key, r.headers) for r in sent]
    assert [r.offset for r in got] == offsets
    assert {r.partition for r in got} == {place}


def test_records_are_stamped_with_the_time_of_the_calendar(
    broker: Broker, new_topic: NewTopic
) -> None:
    place = new_topic()
    before = int(time.time() * 1000)
    fill(broker, place, b"one")
    (got,) = read_all(broker, place)
    assert before <= got.timestamp_ms <= time.time() * 1000


def test_delivery_is_known_after_flush(broker: Broker, new_topic: NewTopic) -> None:
    place = new_topic()
    with broker.producer() as producer:
        deliveries = [producer.send(Outgoing(place, b"%d" % n)) for n in range(50)]
        producer.flush()
        assert all(delivery.done for delivery in deliveries)


def test_partitions_are_where_they_were_named(broker: Broker, new_topic: NewTopic) -> None:
    first = new_topic(partitions=3)
    places = [Partition(first.topic, number) for number in range(3)]
    for place in places:
        fill(broker, place, b"to %d" % place.number)
    assert [read_all(broker, place)[0].value for place in places] == [b"to 0", b"to 1", b"to 2"]


def test_one_reader_reads_several_partitions(broker: Broker, new_topic: NewTopic) -> None:
    first = new_topic(partitions=2)
    second = Partition(first.topic, 1)
    fill(broker, first, b"a", b"b")
    fill(broker, second, b"c")
    got: set[bytes] = set()
    with broker.reader({first: 1, second: 0}) as reader:
        while len(got) < 2:
            got |= {record.value for record in reader.poll(5)}
    assert got == {b"b", b"c"}


def test_tail_waits_for_what_comes_later(broker: Broker, new_topic: NewTopic) -> None:
    place = new_topic()
    with broker.reader({place: 0}) as reader:
        assert reader.poll(0.05) == []
        fill(broker, place, b"later")
        assert [record.value for record in reader.poll(10)] == [b"later"]
        assert reader.position(place) == 1


def test_poll_returns_at_most_its_limit(broker: Broker, new_topic: NewTopic) -> None:
    place = new_topic()
    fill(broker, place, *[b"%d" % n for n in range(10)])
    with broker.reader({place: 0}) as reader:
        assert [record.value for record in reader.poll(10, limit=3)] == [b"0", b"1", b"2"]
        assert reader.position(place) == 3


def test_seek_goes_back(broker: Broker, new_topic: NewTopic) -> None:
    place = new_topic()
    fill(broker, place, b"a", b"b")
    with broker.reader({place: 0}) as reader:
        assert list(read_until(reader, place, 2, timeout=10))
        reader.seek(place, 1)
        assert [record.value for record in reader.poll(10)] == [b"b"]


def test_reader_stays_at_the_end_that_it_was_read_to(broker: Broker, new_topic: NewTopic) -> None:
    place = new_topic()
    fill(broker, place, *(b"%d" % n for n in range(9)))
    found = []
    with broker.reader({place: 0}) as reader:
        for end in (2, 3, 9):
            found.append([one.value for one in read_until(reader, place, end, timeout=10)])
            assert reader.position(place) == end
    assert found == [[b"0", b"1"], [b"2"], [b"%d" % n for n in range(3, 9)]]


def test_value_above_its_limit_is_refused_before_sending(
    broker: Broker, new_topic: NewTopic
) -> None:
    place = new_topic()
    with broker.producer() as producer:
        with pytest.raises(PolicyRefused, match="too large") as refused:
            producer.send(Outgoing(place, b"x" * 1_000_001))
        assert refused.value.code == "RECORD_TOO_LARGE"
        assert producer.send(Outgoing(place, b"x" * 1_000_000)).result().offset == 0


def test_oversized_headers_are_refused_before_sending(broker: Broker, new_topic: NewTopic) -> None:
    place = new_topic()
    with broker.producer() as producer, pytest.raises(PolicyRefused, match="too large"):
        producer.send(Outgoing(place, b"x", headers=(("h", b"y" * 20_000),)))


@pytest.mark.parametrize("number", [0, 7])
def test_unknown_topic_or_partition_is_named(
    broker: Broker, new_topic: NewTopic, number: int
) -> None:
    place = new_topic() if number else Partition("test.nowhere", 0)
    with broker.producer() as producer, pytest.raises(UsageRefused) as refused:
        producer.send(Outgoing(Partition(place.topic, number), b"x")).result()
    assert refused.value.code == "UNKNOWN_TOPIC"
    assert place.topic in str(refused.value)


def test_read_below_the_low_watermark_is_withheld(broker: Broker, new_topic: NewTopic) -> None:
    place = new_topic()
    fill(broker, place, b"a", b"b", b"c")
    broker.administration().delete_records(place, 2)
    assert broker.watermarks(place).low == 2
    with broker.reader({place: 0}) as reader, pytest.raises(Withheld) as refused:
        reader.poll(10)
    assert (refused.value.code, refused.value.exit_code) == ("WITHHELD", 7)
    assert "begins at 2" in str(refused.value)


def test_read_above_the_end_is_rolled_back(broker: Broker, new_topic: NewTopic) -> None:
    place = new_topic()
    fill(broker, place, b"a", b"b")
    with broker.reader({place: 9}) as reader, pytest.raises(RolledBack) as refused:
        reader.poll(10)
    assert (refused.value.code, refused.value.exit_code) == ("ROLLED_BACK", 7)
    assert "ends at 2" in str(refused.value)


def test_read_at_the_end_is_neither(broker: Broker, new_topic: NewTopic) -> None:
    place = new_topic()
    fill(broker, place, b"a")
    with broker.reader({place: 1}) as reader:
        assert reader.poll(0.3) == []


def test_withheld_is_found_by_a_reader_that_goes_back(broker: Broker, new_topic: NewTopic) -> None:
    place = new_topic()
    fill(broker, place, b"a", b"b", b"c", b"d")
    with broker.reader({place: 0}) as reader:
        assert len(list(read_until(reader, place, 4, timeout=10))) == 4
        broker.administration().delete_records(place, 3)
        reader.seek(place, 1)
        with pytest.raises(Withheld):
            reader.poll(10)


def test_extent_gives_exactly_its_records(broker: Broker, new_topic: NewTopic) -> None:
    place = new_topic()
    fill(broker, place, *[b"%d" % n for n in range(6)])
    got = list(read_extent(broker, Extent(place, 2, 4)))
    assert [record.value for record in got] == [b"2", b"3", b"4"]


@pytest.mark.parametrize(("first", "last", "error"), [(0, 3, Withheld), (4, 8, RolledBack)])
def test_extent_outside_the_log_says_which_end(
    broker: Broker, new_topic: NewTopic, first: int, last: int, error: type[Exception]
) -> None:
    place = new_topic()
    fill(broker, place, *[b"%d" % n for n in range(6)])
    broker.administration().delete_records(place, 1)
    with pytest.raises(error):
        list(read_extent(broker, Extent(place, first, last)))


@pytest.mark.parametrize(("first", "last"), [(3, 2), (-1, 2)])
def test_extent_that_names_nothing_is_refused(
    broker: Broker, new_topic: NewTopic, first: int, last: int
) -> None:
    with pytest.raises(UsageRefused, match="names no records"):
        list(read_extent(broker, Extent(new_topic(), first, last)))


def test_read_until_gives_up_at_its_deadline(broker: Broker, new_topic: NewTopic) -> None:
    place = new_topic()
    fill(broker, place, b"a")
    with (
        broker.reader({place: 0}) as reader,
        pytest.raises(Timeout, match="not read to its end") as refused,
    ):
        list(read_until(reader, place, 5, timeout=0.5))
    assert refused.value.got == "offset 1"


def by_first_byte(record: Record) -> int | None:
    return record.value[0] if record.value.isalpha() else None


@pytest.mark.parametrize("hint", [(4, 5), (0, 1), (8, 9), (50, 60)])
def test_locate_finds_records_around_a_wrong_hint(
    broker: Broker, new_topic: NewTopic, hint: tuple[int, int]
) -> None:
    place = new_topic()
    fill(broker, place, *[bytes([letter]) for letter in b"0123ab6789"])
    found = locate(broker, Extent(place, *hint), {ord("a"), ord("b")}, by_first_byte)
    assert {record.offset for record in found.values()} == {4, 5}


def test_locate_scans_no_further_than_its_bound(broker: Broker, new_topic: NewTopic) -> None:
    place = new_topic()
    fill(broker, place, *[bytes([letter]) for letter in b"a0123456b"])
    hint = Extent(place, 4, 4)
    wanted = {ord("a"), ord("b")}
    assert locate(broker, hint, wanted, by_first_byte, scan_offsets=3) == {}
    assert len(locate(broker, hint, wanted, by_first_byte, scan_offsets=4)) == 2


def test_locate_takes_the_first_of_doubled_records(broker: Broker, new_topic: NewTopic) -> None:
    place = new_topic()
    fill(broker, place, b"a", b"a")
    found = locate(broker, Extent(place, 0, 1), {ord("a")}, by_first_byte)
    assert found[ord("a")].offset == 0


def test_uncommitted_isolation_reads_plain_records_too(broker: Broker, new_topic: NewTopic) -> None:
    place = new_topic()
    fill(broker, place, b"a")
    with broker.reader({place: 0}, isolation=Isolation.READ_UNCOMMITTED) as reader:
        assert [record.value for record in reader.poll(10)] == [b"a"]
