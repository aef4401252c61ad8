"""What client libraries say of a cluster that is away, each sentence once a minute.

They try again many times a second and tell of each try: a night of that fills a disk.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final

PAUSE: Final = 60.0
"""Seconds until the same is said again."""


class Seldom(logging.Filter):
    """Lets a logger's message pass once in a while, whatever its details.

    :param now: a clock that never goes back, in seconds.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._now = now
        self._said: dict[tuple[str, str], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether it is time to say this, and note that it was said."""
        what, now = (record.name, str(record.msg)), self._now()
        if now - self._said.get(what, now - PAUSE) < PAUSE:
            return False
        self._said[what] = now
        return True


def warn_seldom() -> None:
    """Print warnings and errors of libraries on standard error, without their tracebacks."""
    handler = logging.StreamHandler()
    handler.setLevel(logging.WARNING)
    handler.addFilter(Seldom())
    handler.setFormatter(_Line("%(name)s: %(message)s"))
    logging.getLogger().addHandler(handler)


class _Line(logging.Formatter):
    """One line a message: what went wrong is in its words."""

    def formatException(self, _info: object) -> str:  # noqa: N802  (the library's name)
        """Return nothing of a traceback."""
        return ""
