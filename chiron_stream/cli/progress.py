"""How far something is, on a terminal: one line of standard error, written over."""

from __future__ import annotations

import sys
import time
from typing import Final

EVERY: Final = 0.1
"""Seconds between two updates."""

_CLEAR: Final = "\r\x1b[K"


class ProgressLine:
    """Shows a sentence again and again in one place; nothing where standard error is no terminal.

    :param hidden: show nothing anyway, as with ``--json``.
    """

    def __init__(self, *, hidden: bool) -> None:
        self._shows = not hidden and sys.stderr.isatty()
        self._next = 0.0

    def show(self, sentence: str) -> None:
        """Show a sentence, unless the last one is too fresh."""
        now = time.monotonic()
        if self._shows and now >= self._next:
            self._next = now + EVERY
            sys.stderr.write(f"{_CLEAR}{sentence}")
            sys.stderr.flush()

    def end(self) -> None:
        """Clear the line."""
        if self._shows:
            sys.stderr.write(_CLEAR)
            sys.stderr.flush()
