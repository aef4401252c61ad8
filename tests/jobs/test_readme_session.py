"""The README's job of one's own, typed as it stands there: the commands, and what they print."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from tests.jobs.command import CHIRON, READY_SECONDS, clean_environment
from tests.kafka.processes import carrying, eventually

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(300)]

README: Final = (Path(__file__).parents[2] / "README.md").read_text("utf-8")
SECTION: Final = README[README.index("## A job of your own") : README.index("## Ten lines of")]
PROGRAMS: Final = {".venv/bin/chiron": CHIRON, ".venv/bin/python": sys.executable}


class Typed(NamedTuple):
    """A command of the page, and the lines below it."""

    words: list[str]
    shown: list[str]


def session() -> Iterator[Typed]:
    """Yield the commands of the section, in order."""
    for block in re.findall(r"^```console\n(.*?)^```$", SECTION, re.S | re.M):
        for part in re.split(r"^\$ ", block, flags=re.M)[1:]:
            command, _, shown = part.replace("\\\n", " ").partition("\n")
            program, *words = shlex.split(command, comments=True)
            yield Typed([PROGRAMS[program], *words], shown.splitlines())


def alike(line: str) -> str:
    """Return a line without what differs from run to run: numbers, and where the job is."""
    return re.sub(r"\d+(\.\d+)?", "N", re.sub(r"/\S*/iris\b", "PATH", line))


@contextmanager
def up(typed: Typed, top: Path) -> Iterator[None]:
    """Have ``chiron up`` run in another terminal."""
    output = top / "up.txt"
    with output.open("wb") as file:
        process = subprocess.Popen(
            typed.words, cwd=top, stdout=file, stderr=subprocess.STDOUT, env=clean_environment()
        )
    try:
        wanted = alike(typed.shown[-1])
        eventually(
            lambda: wanted in map(alike, output.read_text().splitlines()), wanted, READY_SECONDS
        )
        yield
        assert process.wait(60) == 0  # by chiron down
    finally:
        process.kill()
        process.wait()


def run(typed: Typed, top: Path) -> None:
    done = subprocess.run(
        typed.words,
        cwd=top,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=clean_environment(),
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert list(map(alike, done.stdout.splitlines())) == list(map(alike, typed.shown))


def test_session_of_the_readme_goes_as_it_shows(tmp_path: Path) -> None:
    init, started, *others = session()
    assert [one.words[1] for one in (init, started, others[-1])] == ["init", "up", "down"]
    run(init, tmp_path)
    with up(started, tmp_path):
        for one in others:
            run(one, tmp_path)
    eventually(lambda: carrying(str(tmp_path)) == [], "nothing is left running")
