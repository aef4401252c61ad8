"""Processes that a bench starts, and that end with it however it ends.

A child holds the read end of a pipe whose write end is the bench's: end of file means that the
bench is over, or that its process was killed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from enclave_workers.courier.environment import core_environment

STOP_SECONDS: Final = 10.0


@contextmanager
def child(
    module: str, *arguments: str, log: Path, environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run ``python -m module`` for as long as the block, its output going to ``log``.

    It gets a session of its own: Ctrl-C at the terminal is for the bench to handle.
    """
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
        )
    try:
        yield process
    finally:
        _end(process)


def computed(
    module: str,
    *arguments: str,
    given: object = None,
    seconds: float,
    environment: Mapping[str, str] | None = None,
) -> Any:
    """Run ``python -m module``; return the JSON that it prints.

    :param given: goes to its standard input, as JSON.
    :param environment: default: that of a core.
    """
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        input=json.dumps(given),
        capture_output=True,
        env=core_environment(os.environ) if environment is None else environment,
        text=True,
        timeout=seconds,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(
            f"{module} ended with {done.returncode}; it said:\n{done.stderr[-2000:]}"
        )
    return json.loads(done.stdout)


def _end(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    process.stdin.close()
    try:
        process.wait(STOP_SECONDS)
    finally:
        process.kill()
        process.wait()


def check_running(process: subprocess.Popen[bytes], log: Path) -> None:
    """Raise with the end of its log if a child has ended before its time."""
    if process.poll() is not None:
        text = log.read_text(errors="replace")[-2000:]
        raise RuntimeError(f"a child ended with code {process.returncode}; its log ends:\n{text}")


def end_with_parent() -> None:
    """End this process, a child, when the bench closes the pipe."""
    threading.Thread(target=_await_end, name="end with parent", daemon=True).start()


def _await_end() -> None:
    # Not sys.stdin.read(): a thread inside it crashes an interpreter that is shutting down.
    while os.read(sys.stdin.fileno(), 1):
        pass
    os._exit(0)
