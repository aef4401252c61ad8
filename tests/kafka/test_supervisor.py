"""No broker outlives whoever started it."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator

import pytest

from tests.kafka.processes import carrying, eventually

pytestmark = pytest.mark.kafka


@pytest.fixture
def marker() -> Iterator[str]:
    made = f"test-{uuid.uuid4().hex}"
    yield made
    for process in carrying(made):
        process.kill()


def start(marker: str, *mode: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.kafka.starter", marker, *mode],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def wait_for(starter: subprocess.Popen[str], word: str) -> None:
    assert starter.stdout is not None
    for line in starter.stdout:
        if line.strip() == word:
            return
    pytest.fail(f"the starter ended before it said {word!r}")


def assert_nothing_left(marker: str) -> None:
    eventually(lambda: not carrying(marker), f"processes left: {carrying(marker)}")


def end(starter: subprocess.Popen[str], number: signal.Signals) -> None:
    starter.send_signal(number)
    starter.communicate(timeout=60)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_broker_ends_when_its_starter_is_signalled(marker: str, number: signal.Signals) -> None:
    starter = start(marker)
    wait_for(starter, "ready")
    assert len(carrying(marker)) == 3, "starter, supervisor, broker"
    end(starter, number)
    assert_nothing_left(marker)


def test_broker_ends_when_its_starter_exits(marker: str) -> None:
    starter = start(marker)
    wait_for(starter, "ready")
    starter.communicate(timeout=60)
    assert starter.returncode == 0
    assert_nothing_left(marker)


def test_broker_ends_when_its_supervisor_is_killed(marker: str) -> None:
    starter = start(marker)
    wait_for(starter, "ready")
    [supervisor] = [one for one in carrying(marker) if "supervisor" in " ".join(one.cmdline())]
    supervisor.kill()
    eventually(lambda: len(carrying(marker)) == 1, "only the starter is left")
    starter.communicate(timeout=60)


def test_control_without_supervisor_a_broker_is_left(marker: str) -> None:
    starter = start(marker, "unsupervised")
    wait_for(starter, "ready")
    end(starter, signal.SIGKILL)
    left = carrying(marker)
    assert [process.name() for process in left] == ["java"]


@pytest.mark.faults
@pytest.mark.parametrize("seed", range(20))
def test_no_broker_is_left_whenever_its_starter_is_killed(marker: str, seed: int) -> None:
    """Kill the starter 0 to 5 s after it begins to launch: formatting, starting, running."""
    starter = start(marker)
    wait_for(starter, "launching")
    threading.Event().wait(random.Random(seed).uniform(0.0, 5.0))  # the moment is what is tested
    end(starter, signal.SIGKILL)
    assert_nothing_left(marker)
