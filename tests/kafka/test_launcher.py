"""The local broker: where it keeps things, how it restarts, what it says when it cannot start."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from chiron_stream.broker.kafka import KafkaBroker
from chiron_stream.broker.local import LocalKafka, distribution
from chiron_stream.broker.local.distribution import kafka_jars
from chiron_stream.broker.local.node import read_state, stop_elsewhere
from chiron_stream.broker.local.supervisor import JVM_ENDED
from chiron_stream.broker.records import Outgoing, Partition, TopicState
from chiron_stream.errors import BrokerNotStarted, BrokerUnreachable, ChironError
from chiron_stream.settings import default_cache
from tests.kafka.processes import carrying

pytestmark = pytest.mark.kafka


def refusal(kafka: LocalKafka) -> BrokerNotStarted:
    with pytest.raises(BrokerNotStarted) as refused:
        kafka.start()
    assert kafka.nodes == []
    return refused.value


def test_acknowledged_record_survives_a_kill_and_a_restart(tmp_path: Path) -> None:
    place = Partition("kept", 0)
    with LocalKafka(tmp_path) as kafka, KafkaBroker(kafka.bootstrap_servers) as broker:
        broker.administration().create("kept", TopicState(partitions=1))
        with broker.producer() as producer:
            producer.send(Outgoing(place, b"before")).result()
            first_pid = kafka.nodes[0].pid
            kafka.kill()
            kafka.restart()
            assert kafka.nodes[0].pid != first_pid
            producer.send(Outgoing(place, b"after")).result()
        with broker.reader({place: 0}) as reader:
            values: list[bytes] = []
            while len(values) < 2:
                values += [record.value for record in reader.poll(5)]
    assert values == [b"before", b"after"]


def test_named_directory_keeps_its_data_for_the_next_start(tmp_path: Path) -> None:
    with LocalKafka(tmp_path) as kafka, KafkaBroker(kafka.bootstrap_servers) as broker:
        broker.administration().create("kept", TopicState(partitions=1))
        state = read_state(tmp_path)
        assert state["bootstrap_servers"] == kafka.bootstrap_servers
        assert state["pid"] == kafka.nodes[0].pid
        assert Path(state["log"]).stat().st_size > 0
        marker = state["marker"]
        assert len(carrying(marker)) == 2
        said = refusal(LocalKafka(tmp_path))
        assert said.code == "ALREADY_RUNNING"
        assert broker.administration().describe(["kept"])
    assert not carrying(marker)
    with pytest.raises(FileNotFoundError):
        read_state(tmp_path)
    with LocalKafka(tmp_path) as kafka, KafkaBroker(kafka.bootstrap_servers) as broker:
        assert broker.administration().describe(["kept"])


def test_temporary_directory_goes_with_the_broker() -> None:
    with LocalKafka() as kafka:
        directory = kafka.nodes[0].directory
        assert (directory / "data").is_dir()
    assert not directory.exists()


def test_it_listens_on_the_loopback_interface_only(kafka: LocalKafka) -> None:
    listening = subprocess.run(
        ["ss", "-Hltnp"] if shutil.which("ss") else ["cat", "/proc/net/tcp"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    port = kafka.nodes[0].address.port
    own = [
        line for line in listening.splitlines() if f":{port} " in line or f":{port:04X} " in line
    ]
    assert own
    assert not [line for line in own if "0.0.0.0:" + str(port) in line or " 00000000:" in line[:20]]


def test_stop_elsewhere_ends_it_and_says_whether_there_was_one(tmp_path: Path) -> None:
    assert not stop_elsewhere(tmp_path)
    with LocalKafka(tmp_path) as kafka:
        process = kafka.nodes[0].process
        assert process is not None
        assert stop_elsewhere(tmp_path)
        assert process.wait(10) == 0
    assert not stop_elsewhere(tmp_path)


def test_stop_elsewhere_spares_a_process_that_got_the_id_of_a_dead_supervisor(
    tmp_path: Path,
) -> None:
    with LocalKafka(tmp_path) as kafka:
        process = kafka.nodes[0].process
        assert process is not None
        process.kill()
        process.wait()
    state = (tmp_path / "broker.json").read_text()
    mine = str(os.getpid())
    (tmp_path / "broker.json").write_text(state.replace(str(process.pid), mine))
    assert not stop_elsewhere(tmp_path)


def test_taken_port_is_refused_by_number(tmp_path: Path) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        said = refusal(LocalKafka(tmp_path, port=port))
    assert said.code == "PORT_TAKEN"
    assert str(port) in str(said)
    assert said.exit_code == 4


def test_wished_port_is_used(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with LocalKafka(tmp_path, port=port) as kafka:
        assert kafka.bootstrap_servers == f"127.0.0.1:{port}"


def test_too_little_room_is_refused_before_starting(tmp_path: Path) -> None:
    said = refusal(LocalKafka(tmp_path, free_mb=10**9))
    assert said.code == "DISK_FULL"
    assert "1000000000 MB free" in str(said)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 24 MB."""
    where = tmp_path / "small"
    where.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(where)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip("mounting a small file system needs root")
    yield where
    subprocess.run(["umount", "--lazy", str(where)], check=True)


def test_disk_that_is_full_when_starting_is_named(small_disk: Path) -> None:
    with (small_disk / "ballast").open("wb", buffering=0) as ballast, suppress(OSError):
        while True:
            ballast.write(bytes(2**20))
    said = refusal(LocalKafka(small_disk, free_mb=0))
    assert said.code == "DISK_FULL"
    assert str(small_disk) in str(said)


@pytest.mark.faults
def test_disk_that_fills_while_running_is_an_error_of_the_sender(small_disk: Path) -> None:
    """Kafka halts when its only log directory fails; the sender is told, and nothing hangs."""
    place = Partition("t", 0)
    with (
        LocalKafka(small_disk, free_mb=0) as kafka,
        KafkaBroker(kafka.bootstrap_servers) as broker,
        broker.producer() as producer,
    ):
        broker.administration().create("t", TopicState(partitions=1))
        fill = (producer.send(Outgoing(place, bytes(900_000))).result() for _ in range(60))
        with pytest.raises(ChironError, match=re.escape(kafka.bootstrap_servers)):
            list(fill)
        process = kafka.nodes[0].process
        assert process is not None
        assert process.wait(30) == JVM_ENDED


def test_failure_of_the_broker_shows_its_last_error_and_its_log(tmp_path: Path) -> None:
    said = refusal(LocalKafka(tmp_path, extra={"process.roles": "nonsense"}))
    assert said.code == "BROKER_FAILED"
    assert "nonsense" in str(said.got)
    assert str(tmp_path) in str(said.hint)


@pytest.mark.parametrize(("program", "code"), [("java", "JAVA_MISSING"), ("mvn", "MAVEN_MISSING")])
def test_missing_program_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, code: str
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    cache = tmp_path / "cache" if program == "mvn" else default_cache({})
    said = refusal(LocalKafka(tmp_path / "broker", cache=cache))
    assert said.code == code
    assert "apt-get install" in str(said.hint)
    assert said.exit_code == 4


def test_java_home_comes_before_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bin").mkdir()
    java = tmp_path / "bin" / "java"
    java.write_text("#!/bin/sh\necho 'UnsupportedClassVersionError' >&2\nexit 1\n")
    java.chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    said = refusal(LocalKafka(tmp_path / "broker"))
    assert said.code == "JAVA_TOO_OLD"
    assert "Java 17" in str(said.hint)


@pytest.fixture
def copied_jars(tmp_path: Path) -> Path:
    """A cache of its own, hard-linked: (cache, folder with the jars)."""
    cache = tmp_path / "cache"
    jars = kafka_jars(default_cache(dict(os.environ)), lambda _: None)
    shutil.copytree(jars, cache / jars.name)
    return cache


@pytest.mark.parametrize("damage", ["flip", "remove", "add"])
def test_jar_that_is_not_the_recorded_one_is_refused(copied_jars: Path, damage: str) -> None:
    [folder] = copied_jars.iterdir()
    jar = folder / "kafka-clients-4.3.1.jar"
    if damage == "flip":
        data = bytearray(jar.read_bytes())
        data[1000] ^= 1
        jar.write_bytes(data)
    elif damage == "remove":
        jar.unlink()
    else:
        jar = folder / "extra.jar"
        jar.write_bytes(b"")
    with pytest.raises(BrokerNotStarted) as refused:
        kafka_jars(copied_jars, lambda _: None)
    assert refused.value.code == "KAFKA_CORRUPT"
    assert jar.name in str(refused.value)


def test_failed_fetch_shows_mavens_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    maven = tmp_path / "mvn"
    maven.write_text("#!/bin/sh\necho '[ERROR] no such host'\nexit 1\n")
    maven.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    with pytest.raises(BrokerNotStarted) as refused:
        kafka_jars(tmp_path / "cache", lambda _: None)
    assert refused.value.code == "KAFKA_FETCH"
    assert "no such host" in str(refused.value)
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["fetch.lock"]


def test_fetch_that_does_not_end_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    maven = tmp_path / "mvn"
    maven.write_text("#!/bin/sh\nexec sleep 60\n")
    maven.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr(distribution, "FETCH_SECONDS", 0.2)
    with pytest.raises(BrokerNotStarted, match="did not finish"):
        kafka_jars(tmp_path / "cache", lambda _: None)


def test_unreachable_broker_is_named_within_its_time() -> None:
    with socket.socket() as holder:  # bound, not listening: nobody else gets the port
        holder.bind(("127.0.0.1", 0))
        endpoint = f"127.0.0.1:{holder.getsockname()[1]}"
        with KafkaBroker(endpoint) as broker, pytest.raises(BrokerUnreachable) as refused:
            broker.connect(seconds=1.0)
    assert endpoint in str(refused.value)
    assert "within 1 s" in str(refused.value)
    assert refused.value.exit_code == 4


def test_broker_that_goes_away_is_unreachable(tmp_path: Path) -> None:
    with LocalKafka(tmp_path) as kafka, KafkaBroker(kafka.bootstrap_servers) as broker:
        broker.administration().create("t", TopicState(partitions=1))
        kafka.kill()
        with pytest.raises(BrokerUnreachable):
            broker.watermarks(Partition("t", 0))


def test_names_of_tests_are_unique_on_a_shared_broker(kafka_broker: KafkaBroker) -> None:
    name = f"test.{uuid.uuid4().hex}"
    assert kafka_broker.administration().describe([name]) == {}
