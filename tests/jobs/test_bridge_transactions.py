"""The source of a bridge has transactions: what was aborted is no row, and is not waited for."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from chiron_stream.bridge.application import FaustThread
from chiron_stream.bridge.source import FaustSource, SourceTopic
from chiron_stream.broker.kafka import KafkaBroker
from chiron_stream.broker.local import LocalKafka
from chiron_stream.broker.records import Outgoing, Partition, TopicState
from chiron_stream.local.directory import JobDirectory
from chiron_stream.local.running import RunningJob
from tests.jobs import jobs
from tests.jobs.command import chiron, data_of
from tests.jobs.conftest import NewDirectory
from tests.jobs.test_publishing import COORDINATOR, OPEN
from tests.kafka.processes import eventually

pytestmark = pytest.mark.kafka

COMMITTED = [0, 1, 4, 5]
ABORTED = [2, 3, 6, 7]
"""Numbers of rows; the last records of the topic are aborted ones, and their marker."""


def never() -> bool:
    return False


def value(number: int) -> bytes:
    table = jobs.rows("alice")
    return json.dumps({**jobs.row(table, number), "size": table["size"][number]}).encode()


@pytest.fixture(scope="module")
def source(kafka: LocalKafka) -> Iterator[SourceTopic]:
    """A topic with two committed transactions, and two that a successor has aborted."""
    topic = f"test.{uuid.uuid4().hex}"
    with KafkaBroker(kafka.bootstrap_servers) as broker:
        broker.administration().create(topic, TopicState(1))
        for first in range(0, 8, 4):
            with broker.transactional_writer(topic, successor=never) as writer:
                writer.start()
                transaction = writer.begin()
                for number in (first, first + 1):
                    transaction.send(Outgoing(Partition(topic, 0), value(number)))
                transaction.commit()
                transaction = writer.begin()
                for number in (first + 2, first + 3):
                    transaction.send(Outgoing(Partition(topic, 0), value(number)))
                transaction.flush()
                abort(broker, topic)
    with SourceTopic(kafka.bootstrap_servers, {}, topic) as found:
        yield found


def abort(broker: KafkaBroker, transactional_id: str) -> None:
    """Abort what is open, as a successor does that has nothing to say."""
    with broker.transactional_writer(transactional_id, successor=never) as writer:
        writer.start()


class Uncommitted(FaustSource):
    """A consumer of whom nobody says that it is in transactions: Faust's default."""

    def _application(self) -> Any:
        return FaustThread._application(self)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [(FaustSource, COMMITTED), (Uncommitted, sorted([*COMMITTED, *ABORTED]))],
    ids=["the bridge's", "control"],
)
def test_records_of_aborted_transactions_are_left_out(
    source: SourceTopic, kind: type[FaustSource], expected: list[int]
) -> None:
    group = f"test.{uuid.uuid4().hex}"
    place = source.place(0)
    source.broker.administration().set_group_offsets(group, {place: 0})
    came: list[bytes] = []
    with closing(kind(source.servers, {}, source.topic, group, lambda: None)) as listening:

        def all_came() -> bool:
            came.extend(one.value for one in listening.taken(100))
            return len(came) >= len(expected)

        eventually(all_came, "the records came")
    assert came == [value(number) for number in expected]


def test_they_are_left_out_when_a_shard_is_read_again_and_are_no_end(source: SourceTopic) -> None:
    end = source.broker.watermarks(source.place(0)).high
    assert source.ends() == {0: end}
    last = max(one.offset for one in source.records(0, 0, end))
    assert [one.value for one in source.records(0, 0, end)] == [value(n) for n in COMMITTED]
    assert last + 1 < end
    assert source.is_empty(0, last + 1, end)
    assert not source.is_empty(0, last, end)


@pytest.fixture(scope="module")
def directory(kafka: LocalKafka, new_directory: NewDirectory) -> Iterator[JobDirectory]:
    made = new_directory(owners=["alice"], schedule=OPEN, shard_classes=[[1, 8192]])
    with RunningJob(made, bootstrap_servers=kafka.bootstrap_servers, workers=COORDINATOR):
        yield made


def test_bridge_of_such_a_source_sends_the_committed_rows_and_ends(
    source: SourceTopic, directory: JobDirectory
) -> None:
    cluster = ("--source-servers", source.servers, "--to-the-end", "--json")
    where = ("--job", directory.path, "--insecure-simulation", "--max-wait", "1")
    shown = chiron("bridge", source.topic, "--dataset", "d", *cluster, *where)
    assert shown.returncode == 0, shown.stderr
    kind, fields = data_of(shown)[-1]
    assert (kind, fields["rows"], fields["refused"]) == ("bridge", len(COMMITTED), {})
