"""``chiron init``: a SIMULATED job of one's own, with keys for all its parties."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from chiron_stream.cli.common import Context, context, parser
from chiron_stream.cli.main import NOUNS
from chiron_stream.errors import UsageRefused
from chiron_stream.job.policy import JOB_NAME
from chiron_stream.job.terms import read_terms
from chiron_stream.local.directory import JobDirectory, create

EXAMPLE = ("iris.csv", "recipe.py")
"""What is copied as it is, beside the terms and the test, which have the job's name."""


def run(arguments: Sequence[str]) -> int:
    """Make a directory with terms, keys and a signed policy; of the example, all that it needs."""
    made = parser("init", NOUNS["init"])
    made.add_argument("directory", type=Path, help="a new directory; its name is the job's")
    made.add_argument(
        "--terms",
        type=Path,
        metavar="FILE",
        help="terms in TOML, with a name of their own; the default is an example: irises, a "
        "recipe and a test",
    )
    ready = context(made.parse_args(arguments))
    path: Path = ready.flags.directory
    source: Path | None = ready.flags.terms
    text = _read(source) if source else _named(_example("terms.toml"), path.resolve().name)
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageRefused("the terms do not read", expected="TOML", got=str(error)) from error
    directory = create(path, read_terms(table))
    (directory.path / "terms.toml").write_text(text)
    if source is None:
        _copy(directory)
    _tell(ready, directory, is_example=source is None)
    return 0


def _named(text: str, name: str) -> str:
    """Return the example's terms with a job's name.

    :raises UsageRefused: it is no name of a job.
    """
    if JOB_NAME.fullmatch(name) is None:
        raise UsageRefused(
            f"{name!r} is no name of a job",
            expected="a directory whose name is 1 to 64 lower-case letters, digits, hyphens",
            hint="chiron init my-job",
        )
    return text.replace('name = "iris"', f'name = "{name}"', 1)


def _copy(directory: JobDirectory) -> None:
    for name in EXAMPLE:
        (directory.path / name).write_text(_example(name))
    _test_file(directory).write_text(_example("job_test.txt"))


def _test_file(directory: JobDirectory) -> Path:
    return directory.path / f"test_{directory.path.name.replace('-', '_')}.py"


def _tell(ready: Context, directory: JobDirectory, *, is_example: bool) -> None:
    job, given = directory.job(), ready.flags.directory
    fields = {"directory": str(directory.path), "job": job.policy.name, "id": job.job_id.hex()}
    sentence = f"created the job {job.policy.name} in {directory.path}"
    ready.output.data("job.created", fields, sentence)
    ready.output.note("its evidence is SIMULATED: nothing in it is confidential")
    if is_example:
        test = given / _test_file(directory).name
        ready.output.note(f"all of it in one process, without a broker: pytest {test}")
    ready.output.note(f"next: chiron up {given} --insecure-simulation")


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except OSError as error:
        raise UsageRefused(f"cannot read {path}", got=error.strerror) from error


def _example(name: str) -> str:
    return (files("chiron_stream") / "local" / "example" / name).read_text("utf-8")
