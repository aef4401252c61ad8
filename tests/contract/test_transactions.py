"""Transactions: the same cases for the real broker and the in-memory one."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from chiron_stream.broker.extents import read_extent, read_until
from chiron_stream.broker.records import Extent, Isolation, Outgoing, Partition
from chiron_stream.broker.seam import Broker, TransactionalWriter
from chiron_stream.errors import BugFound, Fenced, PolicyRefused, Timeout, WriterLost
from tests.conftest import NewTopic


def no_successor() -> bool:
    return False


def a_successor() -> bool:
    return True


def writer_of(
    broker: Broker,
    name: str,
    successor: Callable[[], bool] = no_successor,
    timeout: float = 30.0,
) -> TransactionalWriter:
    writer = broker.transactional_writer(name, successor=successor, timeout=timeout)
    writer.start()
    return writer


def shown(
    broker: Broker, place: Partition, isolation: Isolation = Isolation.READ_COMMITTED
) -> list[bytes]:
    """Return what readers see at this moment."""
    marks = broker.watermarks(place)
    end = marks.stable if isolation is Isolation.READ_COMMITTED else marks.high
    with broker.reader({place: 0}, isolation=isolation) as reader:
        return [record.value for record in read_until(reader, place, end, timeout=10)]


def settled(broker: Broker, place: Partition) -> list[bytes]:
    """Return what readers see once no transaction is open: markers come after the commit."""
    end = broker.watermarks(place).high
    with broker.reader({place: 0}) as reader:
        return [record.value for record in read_until(reader, place, end, timeout=10)]


def test_committed_records_of_all_partitions_appear_together(
    broker: Broker, new_topic: NewTopic
) -> None:
    first, second = new_topic(), new_topic()
    with writer_of(broker, first.topic) as writer:
        transaction = writer.begin()
        transaction.send(Outgoing(first, b"entry"))
        transaction.send(Outgoing(second, b"effect"))
        transaction.flush()
        assert (shown(broker, first), shown(broker, second)) == ([], [])
        positions = transaction.commit()
    assert [(position.partition, position.offset) for position in positions] == [
        (first, 0),
        (second, 0),
    ]
    assert (settled(broker, first), settled(broker, second)) == ([b"entry"], [b"effect"])


def test_markers_leave_gaps_and_positions_move_over_them(
    broker: Broker, new_topic: NewTopic
) -> None:
    place = new_topic()
    with writer_of(broker, place.topic) as writer:
        for value in (b"a", b"b", b"c"):
            transaction = writer.begin()
            transaction.send(Outgoing(place, value))
            transaction.commit()
    assert settled(broker, place) == [b"a", b"b", b"c"]
    assert broker.watermarks(place) == (0, 6, 6)
    with broker.reader({place: 0}) as reader:
        offsets = [record.offset for record in read_until(reader, place, 6, timeout=10)]
        assert reader.position(place) == 6
    assert offsets == [0, 2, 4]
    assert [record.value for record in read_extent(broker, Extent(place, 1, 3))] == [b"b"]


def test_open_transaction_holds_readers_of_committed_records_back(
    broker: Broker, new_topic: NewTopic
) -> None:
    place = new_topic()
    with broker.producer() as producer, writer_of(broker, place.topic) as writer:
        transaction = writer.begin()
        transaction.send(Outgoing(place, b"open"))
        transaction.flush()
        producer.send(Outgoing(place, b"plain, behind it")).result()
        assert broker.watermarks(place).stable == 0
        assert shown(broker, place) == []
        assert shown(broker, place, Isolation.READ_UNCOMMITTED) == [b"open", b"plain, behind it"]
        with (
            broker.reader({place: 0}) as reader,
            pytest.raises(Timeout),
        ):
            list(read_until(reader, place, 2, timeout=0.5))
        transaction.commit()
    assert settled(broker, place) == [b"open", b"plain, behind it"]


def test_start_of_a_successor_voids_what_its_predecessor_left_open(
    broker: Broker, new_topic: NewTopic
) -> None:
    place = new_topic()
    old = writer_of(broker, place.topic, a_successor)
    abandoned = old.begin()
    abandoned.send(Outgoing(place, b"never"))
    abandoned.flush()
    with writer_of(broker, place.topic) as new:
        transaction = new.begin()
        transaction.send(Outgoing(place, b"kept"))
        transaction.commit()
        assert settled(broker, place) == [b"kept"]
        assert b"never" in shown(broker, place, Isolation.READ_UNCOMMITTED)
        with pytest.raises(Fenced) as refused:
            abandoned.commit()
        assert refused.value.exit_code == 9
        transaction = new.begin()
        transaction.send(Outgoing(place, b"still fine"))
        transaction.commit()
    assert settled(broker, place) == [b"kept", b"still fine"]
    old.close()


def test_fenced_writer_gives_the_same_answer_for_ever(broker: Broker, new_topic: NewTopic) -> None:
    place = new_topic()
    old = writer_of(broker, place.topic, a_successor)
    transaction = old.begin()
    transaction.send(Outgoing(place, b"open"))
    with writer_of(broker, place.topic):
        with pytest.raises(Fenced):
            transaction.commit()
        with pytest.raises(Fenced):
            transaction.send(Outgoing(place, b"zombie"))
        with pytest.raises(Fenced):
            old.begin()
        with pytest.raises(Fenced):
            old.send_plain([Outgoing(place, b"zombie")])
    old.close()
    assert settled(broker, place) == []


def test_expired_transaction_without_successor_is_a_lost_writer(
    broker: Broker, new_topic: NewTopic
) -> None:
    place = new_topic()
    writer = writer_of(broker, place.topic, no_successor, timeout=1.0)
    transaction = writer.begin()
    transaction.send(Outgoing(place, b"late"))
    transaction.flush()
    with broker.reader({place: 0}) as reader:  # the broker voids it: then readers get past it
        assert list(read_until(reader, place, 1, timeout=20)) == []
    with pytest.raises(WriterLost) as refused:
        transaction.commit()
    assert "no successor" in str(refused.value)
    with pytest.raises(WriterLost):
        writer.begin()
    writer.close()
    assert settled(broker, place) == []


def test_unknown_successor_is_a_lost_writer_that_says_so(
    broker: Broker, new_topic: NewTopic
) -> None:
    def unreachable() -> bool:
        raise Timeout("the authority topic did not answer")

    place = new_topic()
    old = writer_of(broker, place.topic, unreachable)
    transaction = old.begin()
    transaction.send(Outgoing(place, b"open"))
    transaction.flush()
    with writer_of(broker, place.topic), pytest.raises(WriterLost, match="did not answer"):
        transaction.commit()
    old.close()


def test_plain_sends_are_seen_without_any_commit(broker: Broker, new_topic: NewTopic) -> None:
    chunks, heads = new_topic(), new_topic()
    with writer_of(broker, heads.topic) as writer:
        positions = writer.send_plain([Outgoing(chunks, b"%d" % n) for n in range(3)])
        assert [position.offset for position in positions] == [0, 1, 2]
        assert settled(broker, chunks) == [b"0", b"1", b"2"]
        assert settled(broker, heads) == []


def test_plain_sends_tell_once_when_all_are_handed_over(
    broker: Broker, new_topic: NewTopic
) -> None:
    chunks, heads = new_topic(), new_topic()
    told: list[str] = []
    with writer_of(broker, heads.topic) as writer:
        records = [Outgoing(chunks, b"%d" % n) for n in range(3)]
        writer.send_plain(records, lambda: told.append("sent"))
        assert told == ["sent"]
        with pytest.raises(PolicyRefused):
            writer.send_plain([Outgoing(chunks, b"x" * 1_000_001)], lambda: told.append("again"))
    assert told == ["sent"]


def test_oversized_record_does_not_finish_the_writer(broker: Broker, new_topic: NewTopic) -> None:
    place = new_topic()
    with writer_of(broker, place.topic) as writer:
        transaction = writer.begin()
        with pytest.raises(PolicyRefused):
            transaction.send(Outgoing(place, b"x" * 1_000_001))
        with pytest.raises(PolicyRefused):
            writer.send_plain([Outgoing(place, b"x" * 1_000_001)])
        transaction.send(Outgoing(place, b"small"))
        transaction.commit()
    assert settled(broker, place) == [b"small"]


def test_empty_transaction_commits_and_leaves_no_trace(broker: Broker, new_topic: NewTopic) -> None:
    place = new_topic()
    with writer_of(broker, place.topic) as writer:
        assert writer.begin().commit() == []
        assert broker.watermarks(place).high == 0


def test_calls_out_of_order_are_bugs(broker: Broker, new_topic: NewTopic) -> None:
    place = new_topic()
    writer = broker.transactional_writer(place.topic, successor=no_successor)
    with pytest.raises(BugFound, match="cannot begin"):
        writer.begin()
    with pytest.raises(BugFound, match="cannot write"):
        writer.send_plain([])
    writer.start()
    with pytest.raises(BugFound, match="cannot start"):
        writer.start()
    writer.begin()
    with pytest.raises(BugFound, match="cannot begin"):
        writer.begin()
    writer.close()
