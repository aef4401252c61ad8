"""One demo at a time in a folder; a job that was kept counts as one."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from chiron_stream.errors import UsageRefused


@contextmanager
def alone(build: Path, job: Path) -> Iterator[IO[str]]:
    """Hold the folder's lock; whoever inherits the open file holds it on.

    :param job: where the demo's job is.
    :raises UsageRefused: another demo, or a job that it has kept, holds the lock.
    """
    build.mkdir(exist_ok=True)
    with (build / "demo.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UsageRefused(
                f"a demo runs in {build}, or its job was kept",
                expected="none",
                hint=f"wait for its end, or end the job: chiron down {job}",
            ) from error
        yield lock
