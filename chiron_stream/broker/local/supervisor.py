"""The process between a starter and its broker: no broker outlives whoever started it.

::

    starter ══ standard input (a pipe) ══▶ supervisor ──▶ java kafka.Kafka

The supervisor formats the data directory, starts the JVM, and waits for the first of three things:
end of file on the pipe (the starter ended, however it ended), SIGTERM (``chiron down``), or the
end of the JVM. Then it stops the JVM, removes the directory if it was a temporary one, and ends.
Should the supervisor itself be killed, the kernel kills the JVM (PDEATHSIG; Linux). That signal
fires when the *thread* that started the JVM ends, which is why the starter cannot do it itself:
here it is the main thread of a process that does nothing else.

The first line on the pipe says what to run, as JSON; nothing else is ever sent. Run as
``python -m chiron_stream.broker.local.supervisor MARKER`` by the launcher; not for people.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import select
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

ALREADY_RUNNING: Final = 75
"""Exit code: another supervisor holds the directory."""

FORMAT_FAILED: Final = 76
"""Exit code: the data directory could not be formatted; the log says why."""

JVM_ENDED: Final = 77
"""Exit code: the broker ended by itself; the log says why."""

_PR_SET_PDEATHSIG: Final = 1


def main() -> int:
    """Run one broker as the first line of standard input says; return the exit code."""
    wake = _catch_signals()
    line = sys.stdin.buffer.readline()
    if not line.endswith(b"\n"):  # the starter ended while it was writing
        return 0
    spec: dict[str, Any] = json.loads(line)
    directory = Path(spec["directory"])
    with (directory / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return ALREADY_RUNNING
        try:
            (directory / "server.properties").write_text(spec["settings"])
            return _supervise(spec, directory, wake)
        finally:
            if spec["temporary"]:
                _remove(directory, Path(spec["temporary"]))


def _remove(directory: Path, top: Path) -> None:
    """Remove a node's directory, and the cluster's above it when this was the last node."""
    shutil.rmtree(directory, ignore_errors=True)
    if top != directory:
        with suppress(OSError):
            top.rmdir()


def _supervise(spec: dict[str, Any], directory: Path, wake: int) -> int:
    with (directory / "broker.log").open("ab") as log:
        if not (Path(spec["data"]) / "meta.properties").exists():
            formatting = _spawn(spec["format"], log)
            ended = _wait(formatting, wake)
            if not ended:
                return _stop(formatting, 0.0)
            if formatting.returncode:
                return FORMAT_FAILED
        jvm = _spawn(spec["run"], log)
        _write_state(directory, {**spec["state"], "supervisor_pid": os.getpid(), "pid": jvm.pid})
        if _wait(jvm, wake):
            return JVM_ENDED
        code = _stop(jvm, 0.0 if spec["temporary"] else float(spec["stop_seconds"]))
        (directory / "broker.json").unlink()
        return code


def _spawn(command: list[str], log: Any) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603  (the command of the spec that our launcher wrote)
        command,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        # This process has one thread, so that running Python before exec is safe.
        preexec_fn=_die_with_parent,  # noqa: PLW1509
    )


def _die_with_parent() -> None:
    """Ask the kernel to kill this process when the supervisor ends (Linux only)."""
    if sys.platform == "linux":
        parent = os.getppid()
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it ended before the request
            os._exit(1)
    signal.set_wakeup_fd(-1)
    for one in (signal.SIGTERM, signal.SIGCHLD, signal.SIGINT, signal.SIGHUP):
        signal.signal(one, signal.SIG_DFL)


def _catch_signals() -> int:
    """Make SIGTERM and the end of a child readable from the returned file descriptor."""
    readable, writable = os.pipe()
    os.set_blocking(readable, False)
    os.set_blocking(writable, False)
    signal.set_wakeup_fd(writable)
    for one in (signal.SIGTERM, signal.SIGCHLD):
        signal.signal(one, lambda *_: None)
    for one in (signal.SIGINT, signal.SIGHUP):
        signal.signal(one, signal.SIG_IGN)
    return readable


def _wait(child: subprocess.Popen[bytes], wake: int) -> bool:
    """Return True when the child ended, False when the broker shall stop."""
    stdin = sys.stdin.fileno()
    while True:
        if child.poll() is not None:
            return True
        ready, _, _ = select.select([stdin, wake], [], [])
        if stdin in ready and not os.read(stdin, 4096):
            return False
        if wake in ready and signal.SIGTERM in os.read(wake, 4096):
            return False


def _stop(child: subprocess.Popen[bytes], seconds: float) -> int:
    """End the child, orderly if it takes at most ``seconds``."""
    if seconds:
        child.terminate()
        try:
            child.wait(seconds)
        except subprocess.TimeoutExpired:
            child.kill()
    else:
        child.kill()
    child.wait()
    return 0


def _write_state(directory: Path, state: dict[str, Any]) -> None:
    scratch = directory / "broker.json.new"
    scratch.write_text(json.dumps(state, indent=1) + "\n")
    scratch.rename(directory / "broker.json")


if __name__ == "__main__":
    sys.exit(main())
