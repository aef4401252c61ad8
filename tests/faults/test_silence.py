"""Transactions that nobody ends: a silent writer, a killed one, a broker that stands still."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from kafka import KafkaProducer
from kafka.errors import KafkaError

from chiron_stream import timeouts
from chiron_stream.broker.extents import read_until
from chiron_stream.broker.kafka import KafkaBroker
from chiron_stream.broker.kafka.producing import producer_settings
from chiron_stream.broker.local import LocalKafka
from chiron_stream.broker.records import Isolation, Outgoing
from chiron_stream.errors import Timeout, WriterLost
from tests.faults.conftest import Spawn, Stage, dice, set_stage
from tests.faults.judging import judge, shown, wait_until
from tests.faults.processes import LONG, frozen
from tests.faults.writer_process import Stamp

pytestmark = [pytest.mark.faults, pytest.mark.kafka]


def test_writer_silent_past_its_timeout_is_lost_and_readers_get_past(
    stage: Stage, spawn: Spawn
) -> None:
    silent = spawn(stage.options("silent", timeout=2.0, patience=0.0))
    silent.start()
    silent.tell("open", records=4, sent=4)
    stopped_in = silent.wait_for("open")["transaction"]
    silent.freeze()
    assert stopped_in not in {stamp.transaction for stamp in stage.settled()[stage.places[0]]}
    silent.tell("commit")
    silent.thaw()
    ended = silent.wait_for("ended")
    assert ended["error"] == "WriterLost"
    assert "no successor" in ended["message"]
    again = spawn(stage.options("again"))
    again.start()
    again.commit_more(3)
    assert (silent.end(), again.end()) == (1, 0)
    assert stopped_in not in judge(stage.settled(), [silent, again]).visible["silent"]


def test_dead_writers_transaction_stalls_its_topic_and_no_other(
    stage: Stage, spawn: Spawn, record_property: Callable[[str, object], None]
) -> None:
    """Why a transactional writer shares a topic with nobody."""
    first, second = stage.places
    dead = spawn(stage.options("dead", timeout=4.0, places=(first,)))
    dead.start()
    dead.tell("open", records=1, sent=1)
    dead.wait_for("open")
    dead.kill()
    began = time.monotonic()
    with stage.broker.producer() as producer:
        for place in stage.places:
            producer.send(Outgoing(place, Stamp("other", 0, 0, 1).dump())).result()
    assert [stamp.writer for stamp in shown(stage.broker, second)][-1] == "other"
    unstalled = time.monotonic() - began
    assert [stamp.writer for stamp in shown(stage.broker, first)][-1] == "other"
    stalled = time.monotonic() - began
    record_property("stalled_seconds", stalled)
    assert stalled > 2.0 > unstalled


@pytest.mark.parametrize("seed", range(20))
def test_writer_killed_between_send_and_commit_loses_only_what_was_open(
    stage: Stage, spawn: Spawn, seed: int, record_property: Callable[[str, object], None]
) -> None:
    chance = dice(seed)
    records = chance.randint(1, 8)
    victim = spawn(stage.options("victim", seed=seed))
    victim.start()
    victim.commit_more(chance.randint(0, 6))
    victim.tell("open", records=records, sent=chance.randint(1, records))
    killed_in = victim.wait_for("open")["transaction"]
    victim.kill()
    successor = spawn(stage.options("successor", seed=seed))
    takeover = successor.start()["seconds"]
    record_property("takeover_seconds", takeover)
    assert takeover < 10.0, f"seed {seed}"
    successor.commit_more(2)
    assert successor.end() == 0
    verdict = judge(stage.settled(), [victim, successor], seed=seed)
    assert killed_in not in verdict.visible["victim"], f"seed {seed}"


def raw_producer(kafka: LocalKafka, name: str) -> Any:
    connection = {"bootstrap_servers": kafka.bootstrap_servers}
    short = {"delivery_timeout_ms": 3000, "request_timeout_ms": 2000, "transactional_id": name}
    producer = KafkaProducer(**{**producer_settings(connection), **short})
    producer.init_transactions()
    return producer


def test_control_a_commit_that_ignores_a_failed_future_shows_its_record(
    own_kafka: LocalKafka,
) -> None:
    """A failed future is not an absent record."""
    with KafkaBroker(own_kafka.bootstrap_servers) as broker:
        place = set_stage(broker).places[0]
        producer = raw_producer(own_kafka, place.topic)
        producer.begin_transaction()
        producer.send(place.topic, b"a", partition=0).get(10)
        with frozen(own_kafka):
            late = producer.send(place.topic, b"b", partition=0)
            with pytest.raises(KafkaError):
                late.get(30)
        producer.commit_transaction()
        producer.close()
        with broker.reader({place: 0}) as reader:
            end = broker.watermarks(place).high
            values = [record.value for record in read_until(reader, place, end, timeout=LONG)]
    assert values == [b"a", b"b"]


def test_expired_record_finishes_the_writer_and_its_transaction_stays_invisible(
    own_kafka: LocalKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    from chiron_stream.broker.kafka import producing

    short = {**producing.COMMON, "delivery_timeout_ms": 3000, "request_timeout_ms": 2000}
    monkeypatch.setattr(producing, "COMMON", short)
    with KafkaBroker(own_kafka.bootstrap_servers) as broker:
        place = set_stage(broker).places[0]
        writer = broker.transactional_writer(place.topic, successor=lambda: False)
        writer.start()
        transaction = writer.begin()
        transaction.send(Outgoing(place, b"a"))
        transaction.flush()
        with frozen(own_kafka):
            transaction.send(Outgoing(place, b"b"))
            with pytest.raises(WriterLost):
                transaction.commit()
        writer.close()
        wait_until(lambda: broker.watermarks(place).high >= 2, "the expired record is written")
        with broker.transactional_writer(place.topic, successor=lambda: False) as again:
            again.start()
            transaction = again.begin()
            transaction.send(Outgoing(place, b"c"))
            transaction.commit()
        end = broker.watermarks(place).high
        values: dict[Isolation, list[bytes]] = {}
        for isolation in Isolation:
            with broker.reader({place: 0}, isolation=isolation) as reader:
                found = read_until(reader, place, end, timeout=LONG)
                values[isolation] = [record.value for record in found]
    assert values[Isolation.READ_COMMITTED] == [b"c"]
    assert values[Isolation.READ_UNCOMMITTED] == [b"a", b"b", b"c"]


def test_commit_on_a_frozen_broker_comes_back_within_its_watchdog(
    own_kafka: LocalKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timeouts, "COMMIT_WATCHDOG", 2.0)
    with KafkaBroker(own_kafka.bootstrap_servers) as broker:
        place = set_stage(broker).places[0]
        writer = broker.transactional_writer(place.topic, successor=lambda: False)
        writer.start()
        transaction = writer.begin()
        for value in (b"a", b"b", b"c"):
            transaction.send(Outgoing(place, value))
        transaction.flush()
        with frozen(own_kafka):
            began = time.monotonic()
            with pytest.raises(WriterLost) as refused:
                transaction.commit()
            took = time.monotonic() - began
        assert took < 2.0 + 5.0
        assert "watchdog" in str(refused.value) or "no answer" in str(refused.value)
        writer.close()
        with broker.transactional_writer(place.topic, successor=lambda: False) as again:
            again.start()
        end = broker.watermarks(place).high
        with broker.reader({place: 0}) as reader:
            values = [record.value for record in read_until(reader, place, end, timeout=LONG)]
    assert values in ([], [b"a", b"b", b"c"])


def test_reader_of_a_frozen_broker_is_told_in_time(own_kafka: LocalKafka) -> None:
    with KafkaBroker(own_kafka.bootstrap_servers) as broker:
        place = set_stage(broker).places[0]
        with broker.reader({place: 0}) as reader, frozen(own_kafka), pytest.raises(Timeout):
            list(read_until(reader, place, 1, timeout=1.0))
