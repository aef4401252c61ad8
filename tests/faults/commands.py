"""Commands that run until they end or are killed, and what they say as they go, in JSON lines."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Generic, Self, TypeVar

from tests.jobs.command import CHIRON, clean_environment

LIMIT: Final = 90.0

R = TypeVar("R", bound="Run")


class Run:
    """One run of a command with ``--json``.

    :param words: of the whole command.
    :param log: gets what it says for people.
    """

    def __init__(self, words: Sequence[str], log: Path) -> None:
        self.log = log
        self.changed = threading.Condition()
        self.silent = False
        with log.open("w") as errors:
            self.process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=clean_environment(),
                text=True,
            )
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                envelope = json.loads(line)
                with self.changed:
                    self.take(envelope["kind"], envelope["data"])
                    self.changed.notify_all()
        with self.changed:
            self.silent = True
            self.changed.notify_all()

    def take(self, kind: str, data: dict[str, Any]) -> None:
        """Take something that it says."""

    def kill(self) -> None:
        assert self.process.poll() is None, self.log.read_text()
        self.process.kill()
        self.process.wait()
        self._listener.join()

    def end(self) -> int:
        code = self.process.wait(LIMIT)
        self._listener.join()
        return code


class Runs(Generic[R]):
    """All runs of one command; leaving them kills what still runs.

    :param control: the module of tests that is run instead, where one of its ways is asked for.
    """

    control: str

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.runs: list[R] = []

    def command(self, how: str) -> list[str]:
        """Return how the command, or its control, is started."""
        return [sys.executable, "-m", self.control, how] if how else [CHIRON]

    def started(self, run: R) -> R:
        self.runs.append(run)
        return run

    def new_log(self) -> Path:
        return self.folder / f"run-{len(self.runs)}.log"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        for run in self.runs:
            run.process.kill()
            run.process.wait()
