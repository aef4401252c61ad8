"""A child process that is started again when it ends by accident, and never outlives us.

Its standard input is a pipe that we hold: end of file is how it learns that its starter ended,
however that ended. What it says goes to a log file.
"""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Final

from chiron_stream.errors import Timeout
from chiron_stream.events import emit

FINAL_CODES: Final = frozenset({2, 5, 6, 7, 8, 9})
"""Exit codes after which starting again cannot help: usage to fenced, as in docs/errors.md."""

FIRST_BACKOFF: Final = 0.5
LONGEST_BACKOFF: Final = 10.0
STEADY_SECONDS: Final = 30.0
"""A process that ran so long starts again without delay."""

STOP_SECONDS: Final = 10.0


class Service:
    """One supervised child.

    :param ended: called with (service, exit code) when it will not be started again.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        log: Path,
        *,
        ended: Callable[[Service, int], None] = lambda _service, _code: None,
    ) -> None:
        self.name = name
        self._command = list(command)
        self.log = log
        self._ended = ended
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread: threading.Thread | None = None
        self.starts = 0
        self.final_code: int | None = None

    @property
    def pid(self) -> int | None:
        """Process id of the running child."""
        process = self._process
        return None if process is None or process.poll() is not None else process.pid

    def start(self) -> None:
        """Start it, and watch it from a thread."""
        self._launch()
        self._thread = threading.Thread(target=self._watch, name=f"watch {self.name}", daemon=True)
        self._thread.start()

    def _launch(self) -> None:
        with self._lock:
            if self._wake.is_set():
                return
            with self.log.open("ab") as log:
                self._process = self._spawn(log)
            self.starts += 1
        emit("service.started", service=self.name, pid=self._process.pid)

    def _spawn(self, log: IO[bytes]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(  # noqa: S603  (commands of our own)
            self._command,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for the starter, who then stops it in order
        )

    def _watch(self) -> None:
        backoff = FIRST_BACKOFF
        while True:
            process, began = self._process, time.monotonic()
            if process is None:
                return
            code = process.wait()
            if process.stdin is not None:
                process.stdin.close()  # each start has a pipe of its own
            if self._wake.is_set():
                return
            final = code in FINAL_CODES
            emit("service.ended", service=self.name, exit_code=code, restart=not final)
            if final:
                self.final_code = code
                self._ended(self, code)
                return
            steady = time.monotonic() - began > STEADY_SECONDS
            backoff = FIRST_BACKOFF if steady else min(2 * backoff, LONGEST_BACKOFF)
            if self._wake.wait(backoff):
                return
            self._launch()

    def stop(self) -> None:
        """End it for good: SIGTERM, then SIGKILL."""
        with self._lock:
            self._wake.set()
            process = self._process
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if process is not None and process.stdin is not None:
            process.stdin.close()
        if self._thread is not None:
            self._thread.join()

    def wait_for(self, said: str, seconds: float) -> None:
        """Wait until its log says something.

        :raises Timeout: it did not in ``seconds``.
        """
        deadline = time.monotonic() + seconds
        while said.encode() not in self.log.read_bytes():
            if time.monotonic() > deadline or self.final_code is not None:
                raise Timeout(
                    f"{self.name} did not become ready",
                    expected=f"within {seconds:g} s",
                    hint=f"its log is {self.log}",
                )
            time.sleep(0.02)
