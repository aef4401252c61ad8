"""Transcripts of ``chiron logs`` in a directory whose workers wrote what is known."""

from __future__ import annotations

import json
import queue
import signal
import subprocess
import threading
from pathlib import Path

import pytest

from chiron_stream.local.directory import JobDirectory, create
from tests.jobs import jobs
from tests.jobs.command import CHIRON, clean_environment, data_of, error_of
from tests.unit.cli.typed import typed

SECONDS = 30.0


@pytest.fixture
def directory(tmp_path: Path) -> JobDirectory:
    made = create(tmp_path / "job", jobs.terms())
    made.run.mkdir()
    write(made, "trainer-0", '{"time": 2, "level": "INFO", "event": "b", "pid": 7}\n')
    write(made, "coordinator-0", '{"time": 1, "level": "INFO", "event": "a"}\n')
    return made


def write(directory: JobDirectory, name: str, text: str) -> None:
    with (directory.run / f"{name}.log").open("a") as file:
        file.write(text)


def test_logs_prints_the_lines_of_all_workers_by_time(directory: JobDirectory) -> None:
    shown = typed("logs", directory.path)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert [line[9:] for line in shown.stdout.splitlines()] == [
        "coordinator-0: INFO a",
        "trainer-0: INFO b pid=7",
    ]


def test_logs_of_one_worker_as_json_are_envelopes(directory: JobDirectory) -> None:
    shown = typed("logs", directory.path, "--worker", "trainer-0", "--json")
    fields = {"name": "trainer-0", "time": 2, "level": "INFO", "event": "b", "pid": 7}
    assert data_of(shown) == [("log", fields)]


def test_logs_shows_as_many_lines_as_were_asked_for(directory: JobDirectory) -> None:
    assert typed("logs", directory.path, "--lines", "1").stdout[9:] == "trainer-0: INFO b pid=7\n"
    assert typed("logs", directory.path, "--lines", "-1").returncode == 2


def test_logs_refuses_a_worker_without_a_log(directory: JobDirectory) -> None:
    shown = typed("logs", directory.path, "--worker", "trainer-9")
    assert (shown.returncode, shown.stdout) == (2, "")
    assert "chiron: expected: coordinator-0, trainer-0\nchiron: got: trainer-9\n" in shown.stderr


def test_logs_of_a_job_that_never_was_up_says_what_to_do(tmp_path: Path) -> None:
    made = create(tmp_path / "job", jobs.terms())
    shown = typed("logs", made.path, "--json")
    assert (shown.returncode, error_of(shown)["hint"]) == (2, "run: chiron up")
    assert typed("logs", tmp_path).returncode == 2


def test_follow_prints_what_comes_until_it_is_interrupted(directory: JobDirectory) -> None:
    words = [CHIRON, "logs", str(directory.path), "--follow", "--json"]
    lines: queue.Queue[str] = queue.Queue()
    with subprocess.Popen(
        words,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=clean_environment(),
    ) as process:
        assert process.stdout is not None
        out = process.stdout

        def take() -> None:
            for line in out:
                lines.put(line)

        reader = threading.Thread(target=take)
        reader.start()

        def event() -> str:
            found: str = json.loads(lines.get(timeout=SECONDS))["data"]["event"]
            return found

        assert [event(), event()] == ["a", "b"]
        write(directory, "trainer-0", '{"time": 3, "event": "c"}\n')
        assert event() == "c"
        write(directory, "predictor-0", '{"time": 4, "event": "d"}\n')
        assert event() == "d"
        process.send_signal(signal.SIGINT)
        assert process.wait(SECONDS) == 130
        reader.join(SECONDS)
        assert lines.empty()
