"""``python -m tests.jobs.stalling_core MARKER ROLE``: a core that stands still in its first task.

The real core, whose trainer never comes back from the first task, while its heart goes on beating.
The file MARKER says that it happened; when it is there, everything works.
"""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from unittest.mock import patch

from chiron_stream.wire.tasks import SlotTask
from chiron_stream.wire.workers import SlotResult
from enclave_workers.core.__main__ import main
from enclave_workers.core.trainer import shell


def run(marker: Path, role: str) -> int:
    """Run one core; return its exit code."""

    def stand_still(_trainer: shell.Trainer, _task: SlotTask) -> SlotResult:
        marker.touch()
        while True:
            threading.Event().wait()

    if role != "trainer" or marker.exists():
        return main([role])
    with patch.object(shell.Trainer, "_found", stand_still):
        return main([role])


if __name__ == "__main__":
    sys.exit(run(Path(sys.argv[1]), sys.argv[2]))
