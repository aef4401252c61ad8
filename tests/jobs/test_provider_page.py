"""The provider's quick start in the documentation, as it stands there, over real Kafka."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from chiron_stream.broker.local import LocalKafka
from chiron_stream.local.directory import JobDirectory
from chiron_stream.local.running import RunningJob
from tests.jobs import jobs
from tests.kafka.processes import eventually
from tests.unit.cli.typed import typed

pytestmark = pytest.mark.kafka

PAGE = (Path(__file__).parents[2] / "docs" / "model-providers.md").read_text()
START = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)[0]
LINES = 15


def test_quick_start_is_short() -> None:
    code = [line for line in START.splitlines() if line]
    assert len(code) <= LINES


def test_quick_start_brings_a_recipe_into_a_job(
    kafka: LocalKafka,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    name = jobs.new_name()  # a job at a broker that other tests share
    assert typed("init", name, cwd=tmp_path).returncode == 0
    (tmp_path / "iris").symlink_to(tmp_path / name)
    directory = JobDirectory(tmp_path / name)
    with RunningJob(directory, bootstrap_servers=kafka.bootstrap_servers):
        jobs.reaches(directory, "waiting")
        monkeypatch.chdir(tmp_path)
        exec(START, {})  # noqa: S102  (our own page)
        eventually(
            lambda: jobs.progress(directory).get("waiting_for") == "data-sets",
            "the recipe is there, and rows are what is missing",
        )
    shown = capsys.readouterr().out
    assert "parameters 131 in 4 tensors, 131 trained" in shown
    assert "pass 10 " in shown
