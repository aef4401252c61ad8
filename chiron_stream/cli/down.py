"""``chiron down``: stops the job, or the broker, that another ``chiron up`` started."""

from __future__ import annotations

import fcntl
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from chiron_stream.broker.local.node import stop_elsewhere
from chiron_stream.cli.common import context, parser
from chiron_stream.cli.main import NOUNS
from chiron_stream.errors import Timeout
from chiron_stream.local.directory import JobDirectory

STOP_SECONDS: Final = 60.0


def run(arguments: Sequence[str]) -> int:
    """Stop what runs in a directory and wait until it has ended."""
    made = parser("down", NOUNS["down"])
    made.add_argument("directory", nargs="?", type=Path, help="of a job; without it, the broker's")
    ready = context(made.parse_args(arguments))
    if ready.flags.directory is not None:
        directory = JobDirectory(ready.flags.directory.resolve())
        directory.job()
        stopped, what = stop_job(directory), f"job {directory.path}"
    else:
        path = ready.settings.path("broker_directory").resolve()
        stopped, what = stop_elsewhere(path), f"broker in {path}"
    ready.output.note(f"stopped the {what}" if stopped else f"no {what.split()[0]} is running")
    return 0


def stop_job(directory: JobDirectory) -> bool:
    """Ask the process that keeps a job up to end, and wait; say whether there was one.

    :raises Timeout: it did not end in time.
    """
    path = directory.run / "lock"
    if not path.exists():
        return False
    deadline = time.monotonic() + STOP_SECONDS
    asked = False
    with path.open("r+") as lock:
        while not _free(lock.fileno()):
            if not asked:
                os.kill(int(path.read_text()), signal.SIGTERM)
                asked = True
            if time.monotonic() > deadline:
                raise Timeout(f"the job in {directory.path} did not end", hint="look at its logs")
            time.sleep(0.05)
    return asked


def _free(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
