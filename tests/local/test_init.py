"""What ``chiron init`` makes is a job that runs, and a test of it that tells when it does not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from chiron_stream.local.directory import JobDirectory
from tests.unit.cli.typed import typed


@pytest.fixture
def made(tmp_path: Path) -> Path:
    shown = typed("init", "my-job", cwd=tmp_path)
    assert (shown.returncode, shown.stdout) == (0, f"created the job my-job in {tmp_path}/my-job\n")
    return tmp_path / "my-job"


def plain_pytest(made: Path) -> subprocess.CompletedProcess[str]:
    """Run the test that was made with plain pytest, as its owner does."""
    words = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "test_my_job.py")
    return subprocess.run(
        [sys.executable, *words], cwd=made, capture_output=True, text=True, check=False
    )


def test_job_has_the_name_of_its_directory(made: Path) -> None:
    policy = JobDirectory(made).job().policy
    assert policy.name == "my-job"
    assert [one.name for one in policy.roster] == ["alice", "bob", "carol", "dan"]
    again = made.with_name("again")
    assert typed("init", again, "--terms", made / "terms.toml").returncode == 0
    found = JobDirectory(again).job().policy
    assert (found.name, found.schema) == ("my-job", policy.schema), "its terms are a start"
    assert not (again / "recipe.py").exists()


def test_its_test_passes(made: Path) -> None:
    shown = plain_pytest(made)
    assert shown.returncode == 0, shown.stdout
    assert "1 passed" in shown.stdout


def test_its_test_fails_where_the_recipe_does_not_learn(made: Path) -> None:
    """The control."""
    file = made / "recipe.py"
    text = file.read_text()
    file.write_text(text.replace("lr=0.02", "lr=0.0"))
    assert file.read_text() != text
    shown = plain_pytest(made)
    assert shown.returncode == 1
    assert "assert right > 0.6 * len(rows)" in shown.stdout


def test_a_rehearsal_writes_nothing_into_the_directory(made: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in made.rglob("*")}
    assert typed("job", "verify", made).returncode == 0
    words = ("recipe", "rehearse", made / "recipe.py", made / "iris.csv", "--job", made)
    assert typed(*words).returncode == 0
    after = {path: path.stat().st_mtime_ns for path in made.rglob("*")}
    assert after == before


@pytest.mark.parametrize("name", ["My-Job", "my_job", "x" * 65, "-x"])
def test_directory_whose_name_is_no_jobs_is_refused_and_nothing_is_made(
    tmp_path: Path, name: str
) -> None:
    shown = typed("init", f"./{name}", cwd=tmp_path)
    assert (shown.returncode, shown.stdout) == (2, "")
    assert f"{name!r} is no name of a job [USAGE]" in shown.stderr
    assert "chiron: hint: chiron init my-job" in shown.stderr
    assert list(tmp_path.iterdir()) == []
