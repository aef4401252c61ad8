"""``chiron`` as a person runs it: a finished command, or ``chiron up`` in the background."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil

from chiron_stream.local.directory import JobDirectory
from tests.kafka.processes import eventually

CHIRON = str(Path(sys.executable).with_name("chiron"))
READY_SECONDS = 60.0


def clean_environment(*, keep_path: bool = True) -> dict[str, str]:
    """Return our environment without what would configure the command.

    :param keep_path: keep a search path for modules, which comes before the working directory.
    """
    clean = {name: value for name, value in os.environ.items() if not name.startswith("CHIRON_")}
    if not keep_path:
        clean.pop("PYTHONPATH", None)
    return clean


def chiron(*words: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [CHIRON, *map(str, words)],
        capture_output=True,
        text=True,
        env=clean_environment(),
        timeout=120,
        check=False,
        **options,
    )


def error_of(shown: subprocess.CompletedProcess[str]) -> dict[str, str]:
    """Return the one error envelope of a command with ``--json`` that failed."""
    *_notes, last = shown.stderr.splitlines()
    envelope = json.loads(last)
    assert (envelope["v"], envelope["kind"]) == (1, "error")
    found: dict[str, str] = envelope["data"]
    return found


def data_of(shown: subprocess.CompletedProcess[str]) -> list[tuple[str, dict[str, Any]]]:
    """Return kind and fields of each envelope on standard output."""
    found = []
    for line in shown.stdout.splitlines():
        envelope = json.loads(line)
        assert sorted(envelope) == ["data", "kind", "v"]
        assert envelope["v"] == 1
        found.append((envelope["kind"], envelope["data"]))
    return found


class Up:
    """``chiron up`` of a job, as long as this object is open.

    :param words: further flags.
    :param command: another way to start ``chiron``.
    :param cwd: where it runs, and its workers with it.
    """

    def __init__(
        self,
        directory: JobDirectory,
        *words: str,
        command: tuple[str, ...] = (CHIRON,),
        cwd: Path | None = None,
    ) -> None:
        self.directory = directory
        self._out = directory.path.with_name(f"{directory.path.name}.out")
        self._err = directory.path.with_name(f"{directory.path.name}.err")
        asked = ("up", str(directory.path), "--insecure-simulation", "--json", *words)
        environ = clean_environment(keep_path=cwd is None)
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen(
                [*command, *asked], stdout=out, stderr=err, env=environ, cwd=cwd
            )

    @property
    def shown(self) -> str:
        """Everything that it printed for people."""
        return self._err.read_text()

    def ready(self) -> dict[str, Any]:
        """Wait until the job is up; return what the command says of it."""
        eventually(
            lambda: self.ended or self._out.read_text().endswith("\n"),
            f"{self.directory.path} is up",
            READY_SECONDS,
        )
        assert not self.ended, self.shown
        envelope = json.loads(self._out.read_text().splitlines()[0])
        assert envelope["kind"] == "job.up"
        facts: dict[str, Any] = envelope["data"]
        return facts

    @property
    def ended(self) -> bool:
        """Whether the command has ended."""
        return self.process.poll() is not None

    def descendants(self) -> list[psutil.Process]:
        """Return every process that it has started, and that those have."""
        found: list[psutil.Process] = psutil.Process(self.process.pid).children(recursive=True)
        return found

    def send(self, number: signal.Signals, seconds: float = 60.0) -> int:
        """Send a signal and wait for the end; return the exit code."""
        self.process.send_signal(number)
        return self.process.wait(seconds)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self.ended:
            self.process.terminate()
            try:
                self.process.wait(60)
            finally:
                self.process.kill()
