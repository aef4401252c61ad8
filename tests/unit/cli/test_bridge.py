"""``chiron bridge``: two ways, and what cannot be one of them. Nothing is connected to."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.jobs.command import error_of
from tests.unit.cli.typed import typed


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Path:
    top = tmp_path_factory.mktemp("b")
    assert typed("init", "iris", cwd=top).returncode == 0
    return top / "iris"


ANSWERS = ("--answers", "replies")
STATE = ("--state", "state")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (ANSWERS, "answers need a state"),
        ((*ANSWERS, *STATE, "--fin"), "--fin is for --dataset"),
        ((*ANSWERS, *STATE, "--partitions", "0"), "--partitions is for --dataset"),
        ((*ANSWERS, *STATE, "--rows-per-shard", "5"), "--rows-per-shard is for --dataset"),
        (("--answers", "visits", *STATE), "rows, answers and dead letters need a topic each"),
        ((*ANSWERS, *STATE, "--dead-letters", "replies"), "need a topic each"),
        (("--answers", "chiron.iris.queries", *STATE), "nothing there may be plaintext"),
        ((*ANSWERS, *STATE), "which cluster?"),
        ((*ANSWERS, *STATE, "--column", "x"), "a column is renamed by NAME=FIELD"),
        (("--dataset", "d", "--state", "s"), "--state is for --answers"),
        (("--dataset", "d", "--group", "g"), "--group is for --answers"),
        (("--dataset", "d", "--fin"), "a source without an end has no fin"),
        (("--dataset", "d"), "which cluster?"),
        (("--dataset", "d", "--column", "petal=x"), "the schema has no such column"),
        ((*ANSWERS, *STATE, "--column", "petal=x"), "the schema has no such column"),
    ],
)
def test_flags_that_cannot_go_together_are_refused(
    job: Path, words: tuple[str, ...], said: str
) -> None:
    shown = typed("bridge", "visits", *words, "--job", job, "--json", "--insecure-simulation")
    assert shown.returncode == 2, shown.stderr
    assert said in error_of(shown)["message"]


@pytest.mark.parametrize("words", [(), ("--dataset", "d", *ANSWERS)])
def test_bridge_goes_one_way(words: tuple[str, ...]) -> None:
    shown = typed("bridge", "visits", *words)
    assert shown.returncode == 2
    assert "--dataset" in shown.stderr
