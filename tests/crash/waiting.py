"""Waiting for conditions, each with a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

LIMIT: Final = 60.0
"""Seconds until a death or a recovery is given up: far more than it takes."""


class Stuck(AssertionError):
    """What had to happen did not happen in time."""


def wait_for(condition: Callable[[], bool], what: str, seconds: float = LIMIT) -> None:
    """Wait until ``condition`` holds.

    :raises Stuck: with ``what`` when it does not in time.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise Stuck(f"not within {seconds:g} s: {what}")
        time.sleep(0.01)  # between two looks at a condition with a deadline
