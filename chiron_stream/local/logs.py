"""The logs of a job's processes on this machine: their lines, in order, and those that come."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from chiron_stream.errors import UsageRefused

LOOK_SECONDS: Final = 0.2
"""Between two looks at what came."""

MAX_LINE: Final = 65_536
"""Bytes of a line; what is longer is cut into several."""

BLOCK: Final = 65_536
"""Bytes that are looked at together, from the end."""

_SHOWN: Final = ("time", "level", "event")


@dataclass(frozen=True)
class Line:
    """One line that a process wrote: the fields of an event, or a text that is none.

    :param time: Unix seconds; of a text, those of the event before it.
    """

    service: str
    time: float
    fields: Mapping[str, Any]
    text: str

    def __str__(self) -> str:
        """Return it for people."""
        clock = time.strftime("%H:%M:%S", time.localtime(self.time)) if self.time else "--:--:--"
        if not self.fields:
            return f"{clock} {self.service}: {self.text}"
        level, event = self.fields.get("level", ""), self.fields.get("event", "")
        rest = [f"{name}={one}" for name, one in self.fields.items() if name not in _SHOWN]
        return " ".join([f"{clock} {self.service}: {level} {event}", *rest])

    def to_json(self) -> dict[str, Any]:
        """Return what a program wants."""
        fields = self.fields or {"text": self.text}
        return {"name": self.service, **fields}


def services(run: Path) -> list[str]:
    """Return the names of the processes that have a log."""
    return sorted(path.stem for path in run.glob("*.log"))


@dataclass
class Tail:
    """One growing log.

    A file that became shorter was begun anew, and is read from its beginning.

    :param newest: lines of the first call, at least, where there are so many; None for all.
    """

    service: str
    path: Path
    newest: int | None
    _offset: int | None = None
    _rest: bytes = b""
    _time: float = 0.0

    def read(self) -> Iterator[Line]:
        """Yield the whole lines that were written since the last call."""
        if not self.path.exists():
            return
        if self._offset is None:
            self._offset = 0 if self.newest is None else _before_last(self.path, self.newest)
        if self.path.stat().st_size < self._offset:
            self._offset, self._rest = 0, b""
        with self.path.open("rb") as file:
            file.seek(self._offset)
            data = self._rest + file.read()
            self._offset = file.tell()
        *whole, self._rest = data.split(b"\n")
        if len(self._rest) > MAX_LINE:
            whole.append(self._rest)
            self._rest = b""
        yield from (self._line(one) for one in whole if one)

    def _line(self, data: bytes) -> Line:
        text = data.decode("utf-8", "replace")
        fields = _fields(text)
        at = fields.get("time")
        if isinstance(at, int | float):
            self._time = float(at)
        return Line(self.service, self._time, fields, text)


@dataclass
class Logs:
    """The logs of some processes of a job.

    :param run: the job's directory of running processes.
    :param names: of the processes; empty for all.
    :param newest: lines that the first call of :meth:`read` returns, at most.
    :raises UsageRefused: one of them has no log.
    """

    run: Path
    names: tuple[str, ...]
    newest: int
    _begun: bool = False
    _tails: dict[str, Tail] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check the names."""
        known = services(self.run)
        if not known or set(self.names) - set(known):
            raise UsageRefused(
                "there is no such log" if known else f"there are no logs in {self.run}",
                expected=", ".join(known) or "a job that was up",
                got=", ".join(self.names) or "none",
                hint=None if known else "run: chiron up",
            )

    def read(self) -> list[Line]:
        """Return the whole lines since the last call, by time; of new workers all of them."""
        for name in self.names or services(self.run):
            if name not in self._tails:
                path = self.run / f"{name}.log"
                self._tails[name] = Tail(name, path, None if self._begun else self.newest)
        lines = [line for tail in self._tails.values() for line in tail.read()]
        lines.sort(key=lambda line: line.time)
        first, self._begun = not self._begun, True
        return lines[max(0, len(lines) - self.newest) :] if first else lines

    def follow(self) -> Iterator[Line]:
        """Yield what comes, for ever."""
        while True:
            yield from self.read()
            time.sleep(LOOK_SECONDS)


def _before_last(path: Path, lines: int) -> int:
    """Return where so many lines before the end of a file, or some more, begin; 0 for all of it."""
    with path.open("rb") as file:
        place, found = file.seek(0, os.SEEK_END), 0
        while place > 0 and found <= lines:
            size = min(BLOCK, place)
            place = file.seek(place - size)
            found += file.read(size).count(b"\n")
        file.seek(place)
        return place + len(file.readline()) if place else 0


def _fields(text: str) -> dict[str, Any]:
    """Return the fields of an event's line; none for any other text."""
    if not text.startswith("{"):
        return {}
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
