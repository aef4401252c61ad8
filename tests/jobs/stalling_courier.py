"""``python -m tests.jobs.stalling_courier ROLE ...``: the real courier of a core that stands still.

A trainer has a short deadline until it has stood still; of the other roles nothing is different.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from enclave_workers.courier import __main__ as entry

DEADLINE = 6.0
MARKER = "stalled"


def main(arguments: Sequence[str]) -> int:
    """Run one worker; return its exit code."""
    marker = Path(arguments[arguments.index("--status") + 1]).with_name(MARKER)
    core = (sys.executable, "-m", "tests.jobs.stalling_core", str(marker))
    to_stall = arguments[0] == "trainer" and not marker.exists()
    hasty = ("--deadline", str(DEADLINE)) if to_stall else ()
    return entry.main([*arguments, *hasty], core)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
