"""``chiron init``: a SIMULATED job of one's own, with keys for all its parties."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from chiron_stream.cli.common import context, parser
from chiron_stream.cli.main import NOUNS
from chiron_stream.errors import UsageRefused
from chiron_stream.job.terms import read_terms
from chiron_stream.local.directory import create

EXAMPLE = ("terms.toml", "iris.csv", "recipe.py")


def run(arguments: Sequence[str]) -> int:
    """Make a directory with terms, keys and a signed policy."""
    made = parser("init", NOUNS["init"])
    made.add_argument("directory", type=Path, help="a new directory")
    made.add_argument(
        "--terms", type=Path, metavar="FILE", help="terms in TOML; the default is an example (iris)"
    )
    ready = context(made.parse_args(arguments))
    source = ready.flags.terms
    text = _read(source) if source else _example("terms.toml")
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageRefused("the terms do not read", expected="TOML", got=str(error)) from error
    directory = create(ready.flags.directory, read_terms(table))
    for name in EXAMPLE if source is None else ():
        (directory.path / name).write_text(_example(name))
    if source is not None:
        (directory.path / "terms.toml").write_text(text)
    job = directory.job()
    fields = {"directory": str(directory.path), "job": job.policy.name, "id": job.job_id.hex()}
    ready.output.data(
        "job.created", fields, f"created the job {job.policy.name} in {directory.path}"
    )
    ready.output.note("its evidence is SIMULATED: nothing in it is confidential")
    ready.output.note(f"next: chiron up {ready.flags.directory} --insecure-simulation")
    return 0


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except OSError as error:
        raise UsageRefused(f"cannot read {path}", got=error.strerror) from error


def _example(name: str) -> str:
    return (files("chiron_stream") / "local" / "example" / name).read_text("utf-8")
