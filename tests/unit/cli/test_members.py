"""Which job, which member, and what a command says before it connects to anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from chiron_stream.cli import main
from chiron_stream.clients.identity import Identity
from chiron_stream.clients.owner import DataOwner
from chiron_stream.errors import RecipeRefused
from tests.jobs.command import error_of
from tests.unit.cli.typed import typed

SIMULATED = "--insecure-simulation"


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Path:
    top = tmp_path_factory.mktemp("m")
    assert typed("init", "iris", cwd=top).returncode == 0
    return top / "iris"


@pytest.fixture
def apart(job: Path, tmp_path: Path) -> Path:
    """The owner's own directory: the job's file, and an identity of another name."""
    (tmp_path / "some.job").write_bytes((job / "job.json").read_bytes())
    mine = tmp_path / "mine.identity"
    mine.touch(0o600)
    mine.write_bytes((job / "keys" / "alice.identity").read_bytes())
    return tmp_path


def test_job_file_and_identity_may_be_anywhere(job: Path, apart: Path) -> None:
    own = ("--job", "some.job", "--identity", "mine.identity")
    shown = typed("publish", job / "iris.csv", *own, "--dry-run", cwd=apart)
    assert shown.returncode == 0, shown.stderr
    assert "150 rows" in shown.stdout + shown.stderr
    same = typed("publish", job / "iris.csv", "--job", job / "job.json", "--dry-run")
    assert same.stdout == shown.stdout


def test_job_that_is_not_there_is_named(tmp_path: Path) -> None:
    shown = typed("predict", "--job", tmp_path / "none.json", "--json", SIMULATED, "x=1")
    assert shown.returncode == 2
    assert "there is no job in" in error_of(shown)["message"]


@pytest.mark.parametrize("name", ["nobody", "carol"])  # carol is there, and no owner
def test_member_that_is_not_one_of_the_role_is_refused(job: Path, name: str) -> None:
    shown = typed("publish", job / "iris.csv", "--job", job, "--as", name, "--json", "--dry-run")
    error = error_of(shown)
    assert (shown.returncode, error["code"]) == (2, "NO_MEMBER")
    assert (error["expected"], error["got"]) == ("alice", name)


def test_identity_of_nobody_in_the_roster_tells_how_to_be_added(job: Path, apart: Path) -> None:
    stranger = Identity.generate("alice")
    stranger.save(apart / "stranger.identity")
    own = ("--job", "some.job", "--identity", "stranger.identity", "--json", "--dry-run")
    error = error_of(typed("publish", job / "iris.csv", *own, cwd=apart))
    assert (error["code"], error["got"]) == ("NO_MEMBER", stranger.public_line())
    assert "the author of the policy" in error["hint"]
    client = ("--job", job, "--identity", job / "keys" / "carol.identity", "--json", "--dry-run")
    error = error_of(typed("publish", job / "iris.csv", *client))
    assert "carol is no owner of this job" in error["message"]


def test_simulation_is_accepted_by_a_flag_and_the_hint_says_which(job: Path) -> None:
    for words in (("publish", job / "iris.csv"), ("predict", "sepal_length=5")):
        shown = typed(*words, "--job", job, "--json")
        error = error_of(shown)
        assert (shown.returncode, error["code"]) == (8, "SIMULATION")
        assert error["hint"].startswith(SIMULATED)


def test_words_that_no_command_has_are_errors_like_others() -> None:
    shown = typed("publish", "--json")
    assert shown.returncode == 2
    assert (error_of(shown)["code"], shown.stdout) == ("USAGE", "")
    assert "FILE" in error_of(shown)["message"]
    assert error_of(shown)["hint"] == "chiron publish --help"
    assert "[USAGE]" in typed("foo").stderr


def test_job_of_another_version_does_not_come_up(
    job: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Control: ``tests/jobs`` brings such jobs up, with the code that they were made for."""
    monkeypatch.setattr("chiron_stream.cli.up.core_measurement", lambda _role: bytes(32))
    shown = typed("up", job, "--json", SIMULATED)
    error = error_of(shown)
    assert (shown.returncode, error["code"]) == (2, "OTHER_CODE")
    assert "0000000000000000" in error["got"]
    assert not (job / "run" / "lock").exists()


def test_interrupted_publisher_says_that_the_same_command_goes_on(
    job: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_arguments: object, **_more: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(DataOwner, "publish_stream", interrupted)
    shown = typed("publish", job / "iris.csv", "--job", job, SIMULATED)
    assert shown.returncode == 130
    assert "the same command goes on behind it" in shown.stderr


def test_second_recipe_is_told_to_go_into_another_job() -> None:
    taken = RecipeRefused("the job has its recipe", code="RECIPE_TAKEN")
    assert "chiron init" in (main._with_hint(taken).hint or "")
    other = RecipeRefused("no", code="RECIPE", hint="as it was")
    assert main._with_hint(other).hint == "as it was"
