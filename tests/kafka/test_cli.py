"""Transcripts: what a person types, reads and gets as exit code."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest

from chiron_stream.broker.kafka import KafkaBroker
from chiron_stream.broker.local import LocalKafka
from tests.kafka.processes import carrying

CHIRON = str(Path(sys.executable).with_name("chiron"))


def chiron(*words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("CHIRON_")}
    return subprocess.run(
        [CHIRON, *words],
        capture_output=True,
        text=True,
        env={**clean, **environ},
        timeout=120,
        check=False,
    )


def test_help_lists_the_commands_in_time() -> None:
    chiron("--help")  # compiles what is not compiled yet
    began = time.perf_counter()
    shown = chiron("--help")
    assert time.perf_counter() - began < 1.0, "0.1 s on an idle machine"
    assert shown.returncode == 0
    assert all(noun in shown.stdout for noun in ("up", "down", "topics", "config"))
    assert shown.stderr == ""


@pytest.mark.parametrize("noun", ["up", "down", "topics", "config"])
def test_every_command_explains_itself(noun: str) -> None:
    shown = chiron(noun, "--help")
    assert shown.returncode == 0
    assert "--bootstrap-servers" in shown.stdout
    assert "exit codes: 0 ok" in shown.stdout


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("tpics",),
        ("up",),
        ("topics", "plan"),
        ("topics", "destroy", "--job", "x"),
        ("config", "--heap-mb", "lots"),
        ("topics", "plan", "--job", "x", "--replication-factor", "0"),
    ],
    ids=" ".join,
)
def test_misuse_ends_with_2(words: tuple[str, ...]) -> None:
    assert chiron(*words).returncode == 2


def test_version_is_printed() -> None:
    assert chiron("--version").stdout.startswith("chiron 0.")


def test_config_shows_where_each_value_comes_from(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text("heap_mb = 300\n[kafka]\n'sasl.jaas.config' = 'hunter2'\n")
    file.chmod(0o600)
    shown = chiron("config", "--config", str(file), CHIRON_BOOTSTRAP_SERVERS="kafka:1")
    assert "bootstrap_servers = kafka:1  (environment CHIRON_BOOTSTRAP_SERVERS)\n" in shown.stdout
    assert f"heap_mb = 300  (file {file})\n" in shown.stdout
    assert "kafka: sasl.jaas.config = (set)" in shown.stdout
    assert "hunter2" not in shown.stdout + shown.stderr


def test_unreachable_broker_is_named_and_ends_with_4() -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        endpoint = f"127.0.0.1:{holder.getsockname()[1]}"
        shown = chiron("topics", "plan", "--job", "x", "--bootstrap-servers", endpoint)
    assert shown.returncode == 4
    assert shown.stdout == ""
    assert f"chiron: error: no Kafka broker answered at {endpoint}" in shown.stderr
    assert "chiron: hint:" in shown.stderr
    assert "Traceback" not in shown.stderr


def test_error_as_json_is_one_envelope(tmp_path: Path) -> None:
    shown = chiron("config", "--json", "--config", str(tmp_path / "none"))
    assert shown.returncode == 2
    envelope = json.loads(shown.stderr)
    assert (envelope["v"], envelope["kind"]) == (1, "error")
    assert envelope["data"]["code"] == "CONFIGURATION"


def test_traceback_is_shown_when_asked_for(tmp_path: Path) -> None:
    shown = chiron("config", "--traceback", "--config", str(tmp_path / "none"))
    assert "Traceback" in shown.stderr


@pytest.mark.kafka
def test_topics_are_planned_applied_and_checked(
    kafka: LocalKafka, kafka_broker: KafkaBroker
) -> None:
    job = f"j{uuid.uuid4().hex[:10]}"
    words = ("--job", job, "--bootstrap-servers", kafka.bootstrap_servers)
    planned = chiron("topics", "plan", *words)
    assert planned.returncode == 0
    assert f"create chiron.{job}.journal\n" in planned.stdout
    assert chiron("topics", "check", *words).returncode == 1
    assert f"created chiron.{job}.journal\n" in chiron("topics", "apply", *words).stdout
    checked = chiron("topics", "check", *words)
    assert (checked.returncode, checked.stdout) == (0, "")
    assert "as the catalogue says" in checked.stderr
    kafka_broker.administration().configure(f"chiron.{job}.journal", {"retention.ms": "1000"})
    drifted = chiron("topics", "check", "--json", *words)
    assert drifted.returncode == 1
    envelope = json.loads(drifted.stdout)
    assert envelope["kind"] == "topic.difference"
    assert envelope["data"]["what"] == "retention.ms"


@pytest.mark.kafka
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_up_says_where_it_is_and_ends_when_told(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    directory = tmp_path / "broker"
    words = ("up", "--broker-only", "--json", "--broker-directory", str(directory))
    with subprocess.Popen(
        [CHIRON, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as up:
        assert up.stdout is not None
        envelope = json.loads(up.stdout.readline())
        facts = envelope["data"]
        assert envelope["kind"] == "broker.started"
        with KafkaBroker(facts["bootstrap_servers"]) as broker:
            assert broker.connect()
        state = json.loads((directory / "broker.json").read_text())
        assert (state["pid"], state["port"], state["log"]) == (
            facts["pid"],
            facts["port"],
            facts["log"],
        )
        up.send_signal(number)
        up.communicate(timeout=60)
        assert up.returncode == code
    assert not carrying(state["marker"])


@pytest.mark.kafka
def test_down_ends_what_up_started(tmp_path: Path) -> None:
    where = ("--broker-directory", str(tmp_path / "broker"))
    with subprocess.Popen(
        [CHIRON, "up", "--broker-only", *where],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as up:
        assert up.stdout is not None
        assert up.stdout.readline().startswith("CHIRON_BOOTSTRAP_SERVERS=127.0.0.1:")
        refused = chiron("up", "--broker-only", *where)
        assert (refused.returncode, "ALREADY_RUNNING" in refused.stderr) == (4, True)
        stopped = chiron("down", *where)
        assert (stopped.returncode, "stopped the broker" in stopped.stderr) == (0, True)
        up.communicate(timeout=60)
        assert up.returncode == 0
    assert "no broker is running" in chiron("down", *where).stderr
