"""Transcripts of ``chiron bridge --answers``: a topic of rows, a topic of answers."""

from __future__ import annotations

import json
import signal
import subprocess
import uuid
from pathlib import Path
from typing import Any

import pytest

from chiron_stream.broker.extents import read_until
from chiron_stream.broker.kafka import KafkaBroker
from chiron_stream.broker.local import LocalKafka
from chiron_stream.broker.records import Outgoing, Partition, Record, TopicState
from tests.jobs import jobs
from tests.jobs.command import CHIRON, chiron, clean_environment, data_of, error_of
from tests.jobs.conftest import Finished

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]

GOOD = [json.dumps(dict.fromkeys(jobs.NUMBERS, one)).encode() for one in (1.5, -1.5, 1.5)]
EXPECTED = ["large", "small", "large"]
POISON = [b"{secret", b"", json.dumps({"width": 1}).encode()]
REASONS = ["undecodable", "tombstone", "schema"]


class Topics:
    """A client's topics: one for rows, one for answers, one for dead letters."""

    def __init__(self, broker: KafkaBroker) -> None:
        self._broker = broker
        self.rows = f"visits.{uuid.uuid4().hex[:8]}"
        self.answers, self.dead = f"{self.rows}.answers", f"{self.rows}.dead"
        for topic in (self.rows, self.answers, self.dead):
            broker.administration().create(topic, TopicState(1))

    def produce(self, *values: bytes) -> None:
        with self._broker.producer() as producer:
            for number, value in enumerate(values):
                place = Partition(self.rows, 0)
                producer.send(Outgoing(place, value, f"k{number}".encode())).result()

    def read(self, topic: str) -> list[Record]:
        place = Partition(topic, 0)
        with self._broker.reader({place: 0}) as reader:
            return list(read_until(reader, place, self._broker.watermarks(place).stable))

    def said(self) -> list[dict[str, Any]]:
        return [json.loads(one.value) for one in self.read(self.answers)]


@pytest.fixture
def topics(kafka_broker: KafkaBroker) -> Topics:
    made = Topics(kafka_broker)
    made.produce(*GOOD, *POISON)
    return made


def words(finished: Finished, kafka: LocalKafka, topics: Topics, state: Path) -> tuple[str, ...]:
    job = ("--job", str(finished.directory.path), "--insecure-simulation")
    cluster = ("--source-servers", kafka.bootstrap_servers, "--state", str(state))
    return ("bridge", topics.rows, "--answers", topics.answers, *job, *cluster)


def test_each_record_gets_its_answer_and_a_second_run_has_nothing_to_do(
    finished: Finished, kafka: LocalKafka, topics: Topics, tmp_path: Path
) -> None:
    asked = (*words(finished, kafka, topics, tmp_path / "state"), "--to-the-end")
    shown = chiron(*asked)
    assert shown.returncode == 0, shown.stderr
    first, *_, last = shown.stdout.splitlines()
    assert first == f"{topics.rows}[0]: answers from 0 on"
    left = ", ".join(f"1 {reason}" for reason in sorted(REASONS))
    assert last == f"{topics.answers}: 3 answers; no rows: {left}"
    assert f"{topics.rows}[0] at 3 is no row, undecodable" in shown.stderr
    assert "secret" not in shown.stdout + shown.stderr

    said = topics.said()
    assert [one["source"]["offset"] for one in said] == list(range(6))
    assert [one.get("value") for one in said] == [*EXPECTED, None, None, None]
    assert [one["error"]["reason"] for one in said[3:]] == REASONS
    assert {(one["release"], one["simulated"]) for one in said[:3]} == {(8, True)}
    keys = [one.key for one in topics.read(topics.answers)]
    assert keys == [f"k{number}".encode() for number in range(6)]

    again = chiron(*asked, "--json")
    assert again.returncode == 0, again.stderr
    assert data_of(again) == [
        (
            "bridge.answers",
            {
                "topic": topics.rows,
                "answers_topic": topics.answers,
                "answers": 0,
                "refused": {},
            },
        )
    ]
    assert topics.said() == said


def test_what_is_no_row_goes_to_the_dead_letters_instead(
    finished: Finished, kafka: LocalKafka, topics: Topics, tmp_path: Path
) -> None:
    flags = ("--to-the-end", "--dead-letters", topics.dead, "--json")
    shown = chiron(*words(finished, kafka, topics, tmp_path / "state"), *flags)
    assert shown.returncode == 0, shown.stderr
    kinds = [kind for kind, _ in data_of(shown)]
    assert kinds[0] == "bridge.answering"
    assert set(kinds[1:-1]) == {"bridge.answered"}
    assert data_of(shown)[-1][1]["refused"] == dict.fromkeys(REASONS, 1)
    assert [one["value"] for one in topics.said()] == EXPECTED
    letters = topics.read(topics.dead)
    assert [one.value for one in letters] == POISON
    assert [dict(one.headers)["chiron.reason"].decode() for one in letters] == REASONS
    assert [dict(one.headers)["chiron.offset"] for one in letters] == [b"3", b"4", b"5"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_bridge_answers_what_comes_until_it_is_told_to_end(
    finished: Finished, kafka: LocalKafka, topics: Topics, tmp_path: Path, number: signal.Signals
) -> None:
    command = [CHIRON, *words(finished, kafka, topics, tmp_path / "state"), "--json"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=clean_environment()
    ) as process:
        assert process.stdout is not None
        lines = (json.loads(line) for line in process.stdout)
        for last in (5, 8):
            while next(lines)["data"].get("last") != last:
                continue
            topics.produce(*GOOD)
        process.send_signal(number)
        assert process.wait(60) == 0
    assert [one.get("value") for one in topics.said()][:9] == [*EXPECTED, *[None] * 3, *EXPECTED]


def test_topic_that_is_not_there_is_refused(
    finished: Finished, kafka: LocalKafka, topics: Topics, tmp_path: Path
) -> None:
    topics.answers = "nowhere"
    shown = chiron(*words(finished, kafka, topics, tmp_path / "state"), "--json")
    assert (shown.returncode, error_of(shown)["code"]) == (2, "UNKNOWN_TOPIC")
