"""The README's quick starts, run as they stand there, on a job like its own."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from chiron_stream.broker.local import LocalKafka
from chiron_stream.local.directory import JobDirectory
from tests.jobs.command import Up, chiron, clean_environment

pytestmark = pytest.mark.kafka

README: Final = Path(__file__).parents[2] / "README.md"
MOST_LINES: Final = 15


def quick_starts() -> list[str]:
    """Return the Python of the README."""
    return re.findall(r"^```python\n(.*?)^```$", README.read_text("utf-8"), re.S | re.M)


@pytest.fixture(scope="module")
def place(kafka: LocalKafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory in which the README's job ``iris`` is up."""
    top = tmp_path_factory.mktemp("r")
    made = chiron("init", "iris", cwd=top)
    assert made.returncode == 0, made.stderr
    with Up(JobDirectory(top / "iris"), "--bootstrap-servers", kafka.bootstrap_servers) as up:
        up.ready()
        yield top


def run(place: Path, text: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", text],
        capture_output=True,
        text=True,
        cwd=place,
        env=clean_environment(),
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_quick_starts_are_short() -> None:
    found = quick_starts()
    assert len(found) == 3
    for one in found:
        assert len([line for line in one.splitlines() if line.strip()]) <= MOST_LINES
        ast.parse(one)


def test_quick_starts_train_a_model_and_ask_it(place: Path) -> None:
    provider, owner, client = quick_starts()
    assert run(place, provider) == ""
    assert run(place, owner) == "0 1 1\n"
    answers = ast.literal_eval(run(place, client))
    assert [value for value, _release, _left in answers] == ["setosa"] * 5
    assert sorted(left for _value, _release, left in answers) == list(range(99_995, 100_000))
