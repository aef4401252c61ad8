"""Transcripts of ``chiron recipe`` at home: a file is explained and rehearsed, without a broker."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from chiron_stream.cli.progress import ProgressLine
from chiron_stream.cli.provided import exported
from chiron_stream.local.directory import JobDirectory, create
from tests.jobs import jobs
from tests.jobs.command import chiron, data_of, error_of
from tests.unit.cli.typed import typed

FILE = Path(jobs.__file__).with_name("recipe_of_parcels.py")
MODULE = "tests.jobs.recipe_of_parcels"
ROOT = FILE.parents[2]


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> JobDirectory:
    made = create(tmp_path_factory.mktemp("j") / "job", jobs.terms())
    jobs.write_csv(made.path / "rows.csv", jobs.rows("alice"))
    return made


def of(directory: JobDirectory) -> tuple[str, ...]:
    return ("--job", str(directory.path))


# explain


def test_explain_prints_what_the_library_does_and_the_commitment(directory: JobDirectory) -> None:
    shown = typed("recipe", "explain", FILE, *of(directory), "--rows-per-shard", "50")
    policy = directory.job().policy
    recipe = exported(str(FILE), policy.schema.kinds())
    told = recipe.explain(policy, rows_per_shard=50)
    assert shown.returncode == 0
    assert shown.stdout == f"{told}\ncommitment {recipe.commitment.hex()}\n"
    assert "steps      4 a full shard of 50 rows" in shown.stdout


@pytest.mark.parametrize("target", [f"{FILE}:recipe", f"{FILE}:wide", MODULE, f"{MODULE}:spec"])
def test_recipe_may_be_named_in_a_file_or_a_module(directory: JobDirectory, target: str) -> None:
    shown = typed("recipe", "explain", target, *of(directory), "--json", cwd=ROOT)
    ((kind, fields),) = data_of(shown)
    assert kind == "recipe"
    assert (fields["parameters"], fields["batch_size"]) == (58, jobs.BATCH)
    assert fields["learns"][0]["recipient"] == "everybody"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "x = 1",
            "has no recipe [USAGE]\nchiron: expected: a Spec or a Recipe called spec or recipe",
        ),
        ("spec = 1", "chiron: got: int\n"),
        ("import torch\n\ntorch.ones(2) @ torch.ones(3)", "does not load: RuntimeError at {}:3"),
        ("import none_such", "does not load: ModuleNotFoundError at {}:1"),
        ("x = (", "does not load: SyntaxError at {}:1"),
        ("from helper import spec", "does not load: ZeroDivisionError at {parent}/helper.py:2"),
    ],
    ids=["none", "another type", "raises", "no module", "syntax", "in a module of its own"],
)
def test_file_that_does_not_load_is_the_providers_and_names_the_line(
    directory: JobDirectory, tmp_path: Path, text: str, words: str
) -> None:
    file = tmp_path / "recipe.py"
    file.write_text(text)
    (tmp_path / "helper.py").write_text("\n1 / 0\n")
    shown = typed("recipe", "explain", file, *of(directory))
    assert (shown.returncode, shown.stdout) == (2, "")
    assert words.format(file, parent=tmp_path) in shown.stderr
    assert "Traceback" not in shown.stderr


def test_traceback_shows_the_providers_own(directory: JobDirectory, tmp_path: Path) -> None:
    file = tmp_path / "recipe.py"
    file.write_text("1 / 0")
    shown = chiron("recipe", "explain", file, *of(directory), "--traceback")
    assert "ZeroDivisionError: division by zero" in shown.stderr


def test_export_that_is_refused_names_module_and_line(
    directory: JobDirectory, tmp_path: Path
) -> None:
    file = tmp_path / "recipe.py"
    text = FILE.read_text().replace("model(),", "Net(),", 1)
    net = (
        "class Net(nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.last = nn.Linear(4, 2)\n\n"
        "    def forward(self, input):\n"
        "        return self.last(torch.cumsum(input, 1))  # here\n\n\n"
    )
    file.write_text(text.replace("spec = Spec", f"{net}spec = Spec"))
    line = next(n for n, one in enumerate(file.read_text().splitlines(), 1) if "# here" in one)
    shown = typed("recipe", "explain", file, *of(directory), "--json", cwd=ROOT)
    error = error_of(shown)
    assert (shown.returncode, error["code"]) == (8, "EXPORT_OP")
    assert f"{file}:{line}" in error["message"]


def test_file_that_is_not_there_is_named(directory: JobDirectory) -> None:
    shown = typed("recipe", "explain", "none.py", *of(directory))
    assert (shown.returncode, "there is no file none.py" in shown.stderr) == (2, True)


@pytest.mark.parametrize(
    "words",
    [(), ("burn",), ("explain",), ("--json", "status")],
    ids=["none", "verb", "no file", "flag first"],
)
def test_misuse_ends_with_2(words: tuple[str, ...]) -> None:
    assert typed("recipe", *words).returncode == 2


@pytest.mark.parametrize("verb", ["explain", "rehearse", "publish", "status"])
def test_help_of_every_verb_names_all_exit_codes(verb: str) -> None:
    shown = typed("recipe", verb, "--help")
    assert shown.returncode == 0
    assert shown.stdout.startswith(f"usage: chiron recipe {verb}")
    assert "130 interrupted" in " ".join(shown.stdout.split())


# rehearse


def test_rehearse_prints_curve_and_score_and_is_the_same_each_time(directory: JobDirectory) -> None:
    words = ("--passes", "4", "--rows-per-shard", "50", "--seed", "3", "--json")
    file = directory.path / "rows.csv"
    shown = [typed("recipe", "rehearse", FILE, file, *of(directory), *words) for _ in range(2)]
    ((kind, first),), ((_, second),) = map(data_of, shown)
    assert kind == "rehearsal"
    assert (first["rows"], first["held_out"], len(first["scores"])) == (160, 40, 5)
    assert first["losses"] == second["losses"]
    assert first["parameters"] == second["parameters"]
    assert first["scores"][-1]["accuracy"] > first["scores"][0]["accuracy"]


def test_rehearse_takes_arrays_and_prints_for_people(
    directory: JobDirectory, tmp_path: Path
) -> None:
    file = tmp_path / "rows.npz"
    np.savez(file, **jobs.rows("alice"))
    words = ("--passes", "2", "--held-out", "0")
    shown = typed("recipe", "rehearse", FILE, file, *of(directory), *words)
    assert shown.returncode == 0
    lines = shown.stdout.splitlines()
    assert lines[0] == "rows       200 to train on, 0 held out"
    assert re.fullmatch(r"pass 2 +loss [\d.]+ +gradients [\d.e+-]+ +#+", lines[4])
    assert "step" not in shown.stderr, "progress is for terminals"


@pytest.mark.parametrize(
    ("content", "code", "words"),
    [
        (b"width,height,depth,weight,size\n1,2,3,9,small\n", 8, "column 'weight', row 0"),
        (b"\xff", 2, "rows.csv does not read"),
        (None, 2, "there is no file"),
    ],
    ids=["range", "bytes", "none"],
)
def test_rehearse_refuses_rows_that_an_owner_could_not_publish(
    directory: JobDirectory, tmp_path: Path, content: bytes | None, code: int, words: str
) -> None:
    file = tmp_path / "rows.csv"
    if content is not None:
        file.write_bytes(content)
    shown = typed("recipe", "rehearse", FILE, file, *of(directory))
    assert (shown.returncode, shown.stdout) == (code, "")
    assert words in shown.stderr


def test_rehearse_without_a_job_says_what_to_do(tmp_path: Path) -> None:
    shown = typed("recipe", "rehearse", FILE, "rows.csv", cwd=tmp_path)
    assert shown.returncode == 2
    assert "chiron: hint: run: chiron init NAME" in shown.stderr


# progress


def test_progress_is_one_line_written_over(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    moments = iter([1.0, 1.05, 1.2])
    monkeypatch.setattr("chiron_stream.cli.progress.time.monotonic", lambda: next(moments))
    line = ProgressLine(hidden=False)
    for sentence in ("first", "too fresh", "second"):
        line.show(sentence)
    line.end()
    assert capsys.readouterr().err == "\r\x1b[Kfirst\r\x1b[Ksecond\r\x1b[K"


@pytest.mark.parametrize(("terminal", "hidden"), [(False, False), (True, True)])
def test_progress_shows_nothing_where_nobody_looks(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    terminal: bool,
    hidden: bool,
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: terminal)
    line = ProgressLine(hidden=hidden)
    line.show("first")
    line.end()
    assert capsys.readouterr().err == ""


def test_explanation_as_json_is_one_line(directory: JobDirectory) -> None:
    shown = typed("recipe", "explain", FILE, *of(directory), "--json")
    (line,) = shown.stdout.splitlines()
    assert json.loads(line)["data"]["commitment"]
