"""Finding processes by what is on their command line, and waiting for conditions."""

from __future__ import annotations

import time
from collections.abc import Callable

import psutil


def carrying(marker: str) -> list[psutil.Process]:
    """Return the processes with ``marker`` on their command line."""
    found = []
    for process in psutil.process_iter():
        try:
            if any(marker in word for word in process.cmdline()):
                found.append(process)
        except (psutil.NoSuchProcess, psutil.ZombieProcess, psutil.AccessDenied):
            continue
    return found


def eventually(condition: Callable[[], bool], what: str, seconds: float = 30.0) -> None:
    """Wait until ``condition`` holds; fail with ``what`` when it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(0.02)  # between two looks at a condition with a deadline
