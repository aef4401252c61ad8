"""The broker killed -9 under a stream of transactions: one node, and the leader of three."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from chiron_stream.broker.kafka import KafkaBroker
from chiron_stream.broker.local import LocalKafka
from chiron_stream.broker.records import Partition, TopicState
from tests.faults.conftest import Spawn, Stage, dice, set_stage
from tests.faults.judging import judge, wait_until
from tests.faults.processes import LONG, WriterProcess

pytestmark = [pytest.mark.faults, pytest.mark.kafka, pytest.mark.timeout(400)]

SEEDS = 8


# One node killed -9: Apache Kafka 4.3.1 can itself forget a marker (docs/decisions/0005), so that
# this is a soak and no gate.


def ride_out(writer: WriterProcess, count: int) -> bool:
    """Wait for ``count`` more acknowledged transactions or the writer's end; say which."""
    target = len(writer.acknowledged) + count
    wait_until(lambda: len(writer.acknowledged) >= target or writer.over, f"{writer}", 2 * LONG)
    return not writer.over


@pytest.mark.soak
def test_transactions_survive_a_broker_killed_in_mid_commit(
    own_kafka: LocalKafka, spawn: Spawn, record_property: Callable[[str, object], None]
) -> None:
    with KafkaBroker(own_kafka.bootstrap_servers) as broker:
        stage = set_stage(broker)
        writers: list[WriterProcess] = []
        for seed in range(SEEDS):
            if not writers or writers[-1].over:
                writers.append(spawn(stage.options(f"writer-{seed}", seed=seed)))
                writers[-1].start()
                writers[-1].tell("run")
            writer = writers[-1]
            chance = dice(seed)
            writer.wait_for(
                chance.choice(["attempt", "committing"]),
                nth=chance.randint(1, 20),
                since=writer.mark,
            )
            own_kafka.kill()
            own_kafka.restart()
            ride_out(writer, 3)
        if not writers[-1].over:
            writers[-1].pause()
        for writer in writers:
            writer.end()
        verdict = judge(stage.settled(), writers, seed=f"0..{SEEDS - 1}")
        record_property("writers", len(writers))
        record_property("acknowledged", sum(len(writer.acknowledged) for writer in writers))
        record_property("unanswered_but_there", sum(map(len, verdict.unanswered.values())))


def replicated_stage(broker: KafkaBroker) -> Stage:
    def topic() -> Partition:
        name = f"test.{uuid.uuid4().hex}"
        broker.administration().create(name, TopicState(1, 3, {"min.insync.replicas": "2"}))
        return Partition(name, 0)

    return Stage(broker, (topic(), topic()), topic())


def leader_of(broker: KafkaBroker, place: Partition) -> int:
    """Return the index of the node that leads a partition."""
    from kafka import KafkaAdminClient

    client = KafkaAdminClient(bootstrap_servers=broker.endpoint.split(","))
    try:
        [topic] = client.describe_topics([place.topic])
        return int(topic["partitions"][0]["leader_id"]) - 1
    finally:
        client.close()


def test_transactions_survive_the_leader_of_three_killed(
    tmp_path: Path, spawn: Spawn, record_property: Callable[[str, object], None]
) -> None:
    with (
        LocalKafka(tmp_path / "kafka", count=3, heap_mb=384) as cluster,
        KafkaBroker(cluster.bootstrap_servers) as broker,
    ):
        stage = replicated_stage(broker)
        writer = spawn(stage.options("first"))
        writers = [writer]
        writer.start()
        writer.tell("run")
        writer.wait_for("committed", nth=60)
        killed = leader_of(broker, stage.places[0])
        cluster.kill(killed)
        if not ride_out(writer, 60):
            writers.append(spawn(stage.options("second")))
            writers[-1].start()
            writers[-1].tell("run")
            assert ride_out(writers[-1], 60)
        cluster.restart(killed)
        writers[-1].pause()
        for one in writers:
            one.end()
        judge(stage.settled(), writers)
        times = [event["at"] for one in writers for event in one.of("committed")]
        pauses = [later - earlier for earlier, later in pairwise(times)]
        record_property("longest_pause_seconds", max(pauses))
        record_property("acknowledged", len(times))
