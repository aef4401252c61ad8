"""The table of recovery times."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import recovery

TIMES = [
    {"role": "trainer", "point": "read.before", "seconds": 2.0},
    {"role": "trainer", "point": "append.sent", "seconds": 9.0},
    {"role": "trainer", "point": "append.sent", "seconds": 3.0},
    {"role": "coordinator", "point": "a.new.one", "seconds": 1.04},
]


def test_table_has_roles_and_their_points_with_median_and_most() -> None:
    lines = [line.split() for line in recovery.table(TIMES).splitlines()]
    assert lines[1:] == [
        ["recovery.coordinator", "1", "1.0", "1.0"],
        ["recovery.coordinator.a.new.one", "1", "1.0", "1.0"],
        ["recovery.trainer", "3", "3.0", "9.0"],
        ["recovery.trainer.append.sent", "2", "6.0", "9.0"],
        ["recovery.trainer.read.before", "1", "2.0", "2.0"],
    ]


def test_missing_times_say_what_to_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert recovery.main(tmp_path / "crash.json") == 0
    assert "make faults" in capsys.readouterr().err


def test_times_are_read_from_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "crash.json").write_text(json.dumps(TIMES))
    assert recovery.main(tmp_path / "crash.json") == 0
    assert "recovery.trainer.append.sent" in capsys.readouterr().out
