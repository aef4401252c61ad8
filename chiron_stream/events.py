"""Structured events from an allow-list: what may be logged is a table, not a habit.

Every event and every field is declared in :data:`EVENTS`; anything else is refused where it is
emitted. Values are numbers, truth values and short plain words: there is no field that a key, a
plaintext or a tensor value could be in. The library emits and never configures logging; a process
of its own (a worker, a command) calls :func:`configure` once.

What other libraries log is reduced to the name of the logger and the level: kafka-python, for one,
logs a client's whole configuration, password included, at DEBUG.
"""

from __future__ import annotations

import json
import logging
import re
from typing import Final, TextIO

from chiron_stream.errors import BugFound
from chiron_stream.telemetry import LOGGED

Value = bool | int | float | str

_WORD: Final = re.compile(r"[A-Za-z0-9._:/,+-]{1,200}")
_LOGGER: Final = logging.getLogger("chiron_stream")

EVENTS: Final[dict[str, tuple[int, dict[str, type]]]] = {
    "broker.started": (logging.INFO, {"bootstrap_servers": str, "pid": int, "seconds": float}),
    "broker.stopped": (logging.INFO, {"bootstrap_servers": str}),
    "topic.changed": (logging.INFO, {"topic": str, "what": str}),
    "service.ended": (logging.WARNING, {"service": str, "exit_code": int, "restart": bool}),
    "service.started": (logging.INFO, {"service": str, "pid": int}),
    "worker.health": (logging.WARNING, {"role": str, "health": str, "reason": str}),
    "worker.metrics": (logging.INFO, {"role": str, "address": str}),
    "worker.progress": (logging.INFO, dict(LOGGED)),
    "worker.stalled": (logging.ERROR, {"role": str, "reason": str, "seconds": float}),
    "writer.finished": (logging.ERROR, {"transactional_id": str, "code": str}),
    "writer.started": (logging.INFO, {"transactional_id": str, "seconds": float}),
}
"""Every event: its level, and its fields with their types."""


def emit(event: str, **fields: Value) -> None:
    """Log one event.

    :raises BugFound: the event, a field, or a field's value is not allowed; the message names the
        event and the field and never shows the value.
    """
    if event not in EVENTS:
        raise _refused(event, "the event is not declared")
    level, declared = EVENTS[event]
    if set(fields) != set(declared):
        raise _refused(event, f"the fields are not {', '.join(sorted(declared))}")
    for name, value in fields.items():
        if type(value) is not declared[name]:
            raise _refused(event, f"{name} is not of type {declared[name].__name__}")
        if isinstance(value, str) and not _WORD.fullmatch(value):
            raise _refused(event, f"{name} is not a short plain word")
    _LOGGER.log(level, event, extra={"chiron_fields": dict(fields)})


def _refused(event: str, why: str) -> BugFound:
    return BugFound(f"the event {event[:40]} may not be logged: {why}", code="EVENT")


class JsonLines(logging.Formatter):
    """One JSON object a line: ``time`` (Unix seconds), ``level``, ``event`` and its fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record; a record that is not an event loses its text."""
        line: dict[str, Value] = {"time": round(record.created, 3), "level": record.levelname}
        fields = getattr(record, "chiron_fields", None)
        if record.name == _LOGGER.name and isinstance(fields, dict):
            line |= {"event": record.msg, **fields}
        else:
            line |= {"event": "library", "logger": record.name}
        return json.dumps(line)


def configure(stream: TextIO, level: int = logging.INFO) -> None:
    """Send the events of this process to ``stream``, and other libraries' warnings as such.

    For processes of their own only; replaces whatever handlers there were.
    """
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines())
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    _LOGGER.setLevel(level)
