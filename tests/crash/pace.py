"""How far a job may come: on a quick machine it shall not end before what is to be done to it.

Trainers that have joined hear nothing from the version on that stands in a file of the run
directory, until the test lets more rounds be made. How many rounds a test needs is then its own
number, not the machine's.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from pathlib import Path
from typing import Final

STEP: Final = 2
"""Rounds that a test lets be made at a time, while it waits for what needs them."""


class Pace:
    """Written by the test, read by the trainers' couriers."""

    def __init__(self, run: Path) -> None:
        self._run = run
        self._path = run / "pace"
        self._version = 0
        self._lock = threading.Lock()

    @property
    def version(self) -> int:
        """The newest committed version that any coordinator told of; one that starts tells of 0."""
        told = [json.loads(one.read_text()) for one in self._run.glob("coordinator-*.json")]
        self._version = max([self._version, *(int(one.get("version", 0)) for one in told)])
        return self._version

    def allow(self, rounds: int = STEP) -> None:
        """Let this many more rounds be made than are told of; take nothing back."""
        with self._lock:
            self._set(max(self._limit, self.version + rounds))

    def lift(self) -> None:
        """Let all rounds be made."""
        with self._lock:
            self._set(sys.maxsize)

    def holds(self, worker: str) -> bool:
        """Tell whether a trainer, this process, is to hear nothing now; one that joins hears."""
        own = self._run / f"{worker}.json"
        told = json.loads(own.read_text()) if own.exists() else {}
        ready = told.get("pid") == os.getpid() and told.get("state") == "ready"
        return ready and self.version >= self._limit

    @property
    def _limit(self) -> int:
        return int(self._path.read_text()) if self._path.exists() else 0

    def _set(self, limit: int) -> None:
        scratch = self._path.with_suffix(".scratch")
        scratch.write_text(str(limit))
        scratch.replace(self._path)
