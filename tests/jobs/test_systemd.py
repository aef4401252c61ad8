"""The commands of the systemd units, as systemd would start them, run; so do their ends."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from chiron_stream.broker.kafka import KafkaBroker
from chiron_stream.broker.local import LocalKafka
from chiron_stream.broker.records import Outgoing, Partition, TopicState
from chiron_stream.local.running import RunningJob
from tests.deploy.units import BRIDGE, SYSTEMD, UNIT, command, read_environment, read_unit
from tests.jobs import jobs
from tests.jobs.command import CHIRON, clean_environment
from tests.jobs.conftest import NewDirectory
from tests.jobs.test_publishing import COORDINATOR, OPEN
from tests.kafka.processes import eventually

pytestmark = pytest.mark.kafka

CORE = shlex.join([sys.executable, "-m", "enclave_workers.core", "trainer"])


def test_unit_starts_a_worker_that_joins_shows_itself_and_ends_in_order(
    kafka: LocalKafka, new_directory: NewDirectory, tmp_path: Path
) -> None:
    directory = new_directory()
    variables = read_environment(SYSTEMD / "workers.env", SYSTEMD / "trainer-0.env") | {
        "JOB": str(directory.job_file),
        "CORE": CORE,
        "METRICS": "127.0.0.1:0",
        "FLAGS": f"--quoting-service {directory.quoting} --status {directory.run}/trainer-0.json",
    }
    del variables["CHIRON_CONFIG"]
    program, *words = command(read_unit(UNIT.read_text()), variables)
    assert program == "/opt/chiron/bin/chiron"
    cores = {"coordinator": 1}
    with RunningJob(directory, bootstrap_servers=kafka.bootstrap_servers, workers=cores):
        with subprocess.Popen([CHIRON, *words], env=clean_environment()) as worker:
            jobs.reaches(directory, "ready", "trainer-0")
            assert jobs.progress(directory, "trainer-0")["metrics"].startswith("127.0.0.1:")
            eventually(lambda: jobs.progress(directory)["trainers"] == 1, "it is alive")
            worker.send_signal(signal.SIGTERM)
            assert worker.wait(30) == 0
        eventually(lambda: jobs.progress(directory)["trainers"] == 0, "it has left", 5)


def test_bridge_unit_starts_a_bridge_that_sends_rows_and_ends_in_order(
    kafka: LocalKafka, kafka_broker: KafkaBroker, new_directory: NewDirectory, tmp_path: Path
) -> None:
    directory = new_directory(owners=["alice"], schedule=OPEN, shard_classes=[[1, 8192]])
    topic, table = f"test.{uuid.uuid4().hex}", jobs.rows("alice")
    (tmp_path / "own.toml").write_text(f'bootstrap_servers = "{kafka.bootstrap_servers}"\n')
    variables = read_environment(SYSTEMD / "bridge-vitals.env") | {
        "TOPIC": topic,
        "JOB": str(directory.path),
        "SOURCE": str(tmp_path / "own.toml"),
        "FLAGS": "--dataset d --rows-per-shard 2 --insecure-simulation",
    }
    _, *words = command(read_unit(BRIDGE.read_text()), variables)
    kafka_broker.administration().create(topic, TopicState(1))
    with kafka_broker.producer() as producer:
        for number in range(2):
            row = {**jobs.row(table, number), "size": table["size"][number]}
            producer.send(Outgoing(Partition(topic, 0), json.dumps(row).encode())).result()
    servers = kafka.bootstrap_servers
    with (
        RunningJob(directory, bootstrap_servers=servers, workers=COORDINATOR),
        subprocess.Popen(
            [CHIRON, *words], stdout=subprocess.PIPE, env=clean_environment(), text=True
        ) as bridge,
    ):
        assert bridge.stdout is not None
        lines = (json.loads(line) for line in bridge.stdout)
        assert [next(lines)["kind"] for _ in range(2)] == ["bridge.opened", "bridge.shard"]
        bridge.send_signal(signal.SIGTERM)
        last = list(lines)[-1]
        assert (last["kind"], last["data"]["rows"]) == ("bridge", 2)
        assert bridge.wait(60) == 0
