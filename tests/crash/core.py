"""``python -m tests.crash.core ROLE``: the real core, with a snapshot every few rounds.

So that a job of a few hundred rounds starts again from many snapshots, and not only from one.
"""

from __future__ import annotations

import sys
from unittest.mock import patch

from enclave_workers.core.__main__ import main
from enclave_workers.core.coordinator import shell

SNAPSHOT_EVERY = 24
"""Journal entries between two snapshots."""


def run(arguments: list[str]) -> int:
    """Run one core; return its exit code."""
    with patch.object(shell, "SNAPSHOT_EVERY", SNAPSHOT_EVERY):
        return main(arguments)


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
