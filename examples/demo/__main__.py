"""``python -m examples.demo``: the whole way once, on real data, and what a sceptic checks."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType
from typing import Final, NoReturn

from chiron_stream.errors import ChironError
from examples.demo.options import read_options
from examples.demo.saying import say

INTERRUPTED: Final = 130


def main() -> int:
    """Run the demo as the environment asks; return the exit code."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupted)
    try:
        options = read_options(os.environ)
        from examples.demo.run import run  # torch takes seconds to load

        return run(options)
    except ChironError as error:
        say(f"error: {error} [{error.code}]")
        if error.hint:
            say(f"hint: {error.hint}")
        return error.exit_code
    except KeyboardInterrupt:
        say("interrupted; nothing is left running")
        return INTERRUPTED


def _interrupted(_number: int, _frame: FrameType | None) -> NoReturn:
    """End, in order; what follows while everything is stopped is ignored."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    say("interrupted: stopping everything")
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
