"""Orders to die, as files between a test and the couriers that obey them; deaths, as they happened.

A worker's orders stand in one small file of the job's run directory, replaced as a whole. Deaths go
to one file for all, one JSON line each, synchronised to the disk before anything is killed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

Victim = Literal["courier", "core"]
VICTIMS: Final[tuple[Victim, ...]] = ("courier", "core")


@dataclass(frozen=True)
class Order:
    """Die when a point is passed.

    :param topic: only when the effect is on this topic of the catalogue; empty: on any.
    :param skip: how often to pass the point by before.
    :param behind: only when another worker has died more often than so: its name, and so often.
    :param stop: stand still there, both processes, in place of dying.
    """

    point: str
    victim: Victim = "courier"
    topic: str = ""
    skip: int = 0
    behind: tuple[str, int] | None = None
    stop: bool = False

    def __str__(self) -> str:
        about = f" on {self.topic}" if self.topic else ""
        return f"{'stop' if self.stop else self.victim} at {self.point}{about}"


@dataclass(frozen=True)
class Death:
    """What happened: ``core`` and ``born`` tell the core's process from a later one of its number.

    By which signal, the one that starts the courier again knows: a courier ends by its core's.
    """

    worker: str
    point: str
    victim: Victim
    topics: tuple[str, ...]
    courier: int
    core: int
    born: float
    at: float


def _order(behind: tuple[str, int] | None, **fields: Any) -> Order:
    return Order(**fields, behind=None if behind is None else (behind[0], behind[1]))


class Orders:
    """The orders of one worker."""

    def __init__(self, run: Path, worker: str) -> None:
        self._path = run / f"{worker}.orders"
        self._hold = run / f"{worker}.hold"
        self._seen: tuple[int, int] | None = None
        self._first: Order | None = None

    def give(self, *orders: Order) -> None:
        """Replace all orders; they are obeyed one after the other, over restarts too."""
        scratch = self._path.with_suffix(".scratch")
        scratch.write_text(json.dumps([asdict(one) for one in orders]))
        scratch.replace(self._path)

    def left(self) -> list[Order]:
        """Return the orders that have not been obeyed."""
        if not self._path.exists():
            return []
        return [_order(**one) for one in json.loads(self._path.read_text())]

    def first(self) -> Order | None:
        """Return the order to obey next; reads the file only when it was replaced."""
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return None
        seen = found.st_ino, found.st_mtime_ns
        if seen != self._seen:
            orders = self.left()
            self._first = orders[0] if orders else None
            self._seen = seen
        return self._first

    def pass_by(self) -> bool:
        """Count one passing of the first order's point; tell whether it was one to skip."""
        first, *rest = self.left()
        if first.skip:
            self.give(replace(first, skip=first.skip - 1), *rest)
        return first.skip > 0

    @contextmanager
    def held_back(self) -> Iterator[None]:
        """Let the worker hear nothing for the length of a block; its heart goes on beating."""
        self._hold.touch()
        try:
            yield
        finally:
            self._hold.unlink()

    @property
    def held(self) -> bool:
        """Whether the worker is to hear nothing now."""
        return self._hold.exists()

    def obeyed(self) -> None:
        """Take the first order off the file."""
        self.give(*self.left()[1:])


class Deaths:
    """The deaths of all workers of a job, or what else is to be noted like them."""

    def __init__(self, run: Path, name: str = "deaths") -> None:
        self._path = run / name

    def note(self, death: Death) -> None:
        """Append a death, whatever happens next."""
        line = json.dumps(asdict(death)).encode() + b"\n"
        file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(file, line)
            os.fsync(file)
        finally:
            os.close(file)

    def all(self, worker: str = "") -> list[Death]:
        """Return the deaths so far, of one worker or of all."""
        if not self._path.exists():
            return []
        found = [json.loads(line) for line in self._path.read_text().splitlines()]
        deaths = [Death(**{**one, "topics": tuple(one["topics"])}) for one in found]
        return [one for one in deaths if worker in ("", one.worker)]
