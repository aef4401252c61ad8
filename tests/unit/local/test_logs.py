"""Logs of a job's processes: the newest lines in order, and those that come."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from chiron_stream.errors import UsageRefused
from chiron_stream.local.logs import BLOCK, MAX_LINE, Logs


def write(run: Path, name: str, *lines: str, end: str = "\n") -> None:
    with (run / f"{name}.log").open("a") as file:
        file.write("\n".join(lines) + end)


def event(time: float, event: str, **fields: object) -> str:
    return json.dumps({"time": time, "level": "INFO", "event": event, **fields})


def texts(logs: Logs) -> list[str]:
    return [str(one.fields.get("event", one.text)) for one in logs.read()]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    write(tmp_path, "trainer-0", event(1, "a"), event(3, "c"), "Traceback", event(5, "e"))
    write(tmp_path, "coordinator-0", event(2, "b"), event(4, "d"))
    return tmp_path


def test_lines_of_all_come_by_time_and_a_text_behind_its_event(run: Path) -> None:
    assert texts(Logs(run, (), 100)) == ["a", "b", "c", "Traceback", "d", "e"]


def test_newest_lines_are_those_of_all_together(run: Path) -> None:
    assert texts(Logs(run, (), 2)) == ["d", "e"]
    assert texts(Logs(run, (), 0)) == []


def test_one_process_can_be_asked_for(run: Path) -> None:
    assert texts(Logs(run, ("coordinator-0",), 100)) == ["b", "d"]


def test_later_calls_return_what_came_and_nothing_twice(run: Path) -> None:
    logs = Logs(run, (), 1)
    assert texts(logs) == ["e"]
    assert texts(logs) == []
    write(run, "trainer-0", event(7, "g"))
    write(run, "coordinator-0", event(6, "f"), '{"time": 8, "ev', end="")
    assert texts(logs) == ["f", "g"]
    write(run, "coordinator-0", 'ent": "h"}')
    assert texts(logs) == ["h"]


def test_worker_that_starts_later_is_read_from_its_first_line(run: Path) -> None:
    logs = Logs(run, (), 0)
    assert texts(logs) == []
    write(run, "predictor-0", event(9, "x"), event(10, "y"))
    assert texts(logs) == ["x", "y"]


def test_log_that_was_begun_anew_is_read_from_its_beginning(run: Path) -> None:
    logs = Logs(run, ("trainer-0",), 1)
    assert texts(logs) == ["e"]
    (run / "trainer-0.log").write_text(event(20, "new") + "\n")
    assert texts(logs) == ["new"]


@pytest.mark.parametrize("count", [1, 7, 3000])
def test_newest_lines_of_a_long_log_are_found_from_its_end(tmp_path: Path, count: int) -> None:
    lines = [event(n, f"n{n}", pad="x" * (n % 97)) for n in range(4000)]
    write(tmp_path, "trainer-0", *lines)
    assert (tmp_path / "trainer-0.log").stat().st_size > 3 * BLOCK
    assert texts(Logs(tmp_path, (), count)) == [f"n{n}" for n in range(4000 - count, 4000)]


def test_line_without_end_does_not_fill_memory(tmp_path: Path) -> None:
    write(tmp_path, "trainer-0", "x" * (MAX_LINE + 1), end="")
    logs = Logs(tmp_path, (), 10)
    assert [len(one) for one in texts(logs)] == [MAX_LINE + 1]
    write(tmp_path, "trainer-0", "rest")
    assert texts(logs) == ["rest"]


def test_line_for_people_has_time_name_event_and_fields(tmp_path: Path) -> None:
    write(tmp_path, "trainer-0", "begin", event(1, "worker.health", health="green", ready=True))
    first, second = Logs(tmp_path, (), 10).read()
    assert str(first) == "--:--:-- trainer-0: begin"
    assert str(second)[8:] == " trainer-0: INFO worker.health health=green ready=True"
    assert first.to_json() == {"name": "trainer-0", "text": "begin"}
    assert second.to_json()["health"] == "green"


@pytest.mark.parametrize("line", ["[1]", "{", '{"time": "noon"}', '"x"', "{1}"])
def test_line_that_is_no_event_is_a_text_or_has_no_time(tmp_path: Path, line: str) -> None:
    write(tmp_path, "trainer-0", line)
    (found,) = Logs(tmp_path, (), 10).read()
    assert (found.text, found.time) == (line, 0.0)


def test_name_without_a_log_is_refused_with_those_there_are(run: Path) -> None:
    with pytest.raises(UsageRefused) as caught:
        Logs(run, ("trainer-9",), 10)
    assert caught.value.expected == "coordinator-0, trainer-0"


def test_job_that_never_was_up_has_no_logs(tmp_path: Path) -> None:
    with pytest.raises(UsageRefused) as caught:
        Logs(tmp_path / "run", (), 10)
    assert caught.value.hint == "run: chiron up"
