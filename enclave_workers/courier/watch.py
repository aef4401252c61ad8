"""Watches one worker from its courier: signs of work in, status file, log and verdict out."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from chiron_stream.errors import ChironError
from chiron_stream.events import emit
from chiron_stream.telemetry import Shown
from chiron_stream.wire import courier
from enclave_workers.courier.effects import Effects
from enclave_workers.courier.health import Signs, Verdict, is_work, judge
from enclave_workers.courier.telemetry import Board

LOOK_SECONDS: Final = 1.0
"""Between two looks at the signs; what a core tells is shown sooner."""

STOOD_STILL: Final = 5.0
"""Seconds between two looks by which the courier knows that it was stopped, and blames nobody."""

PAUSE_SECONDS: Final = 0.1
"""Between two status files, at least."""

READING_SECONDS: Final = 5.0
"""Between two questions to the broker how far the core has come."""

_LEAVE_SECONDS: Final = 1.0
"""For a question to the broker that is under way when the worker ends."""


def _nobody(_verdict: Verdict) -> None:
    """Tell nobody."""


class Watch:
    """Two threads beside the one that serves the core: one looks, one asks the broker.

    :param deadline: seconds without a sign of work after which the worker is red.
    :param path: of the status file, if there shall be one.
    """

    def __init__(self, board: Board, effects: Effects, deadline: float, path: Path | None) -> None:
        self._board = board
        self._effects = effects
        self._deadline = deadline
        self._path = path
        self._ends: Callable[[Verdict], None] = _nobody
        self._lock = threading.Lock()
        now = time.monotonic()
        self._signs = Signs(work=now, broker=now, reading=now)
        self._verdict = Verdict()
        self._changed = threading.Event()
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=run, name=name, daemon=True)
            for name, run in (("watch", self._look), ("reading", self._read))
        ]

    def start(self, ends: Callable[[Verdict], None]) -> None:
        """Begin to watch.

        :param ends: called once with the verdict by which the worker has to end.
        """
        self._ends = ends
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Watch no more; the status file is as it is now."""
        self._stop.set()
        self._changed.set()
        for thread in filter(threading.Thread.is_alive, self._threads):
            thread.join(_LEAVE_SECONDS)

    def asked(self, request: courier.Request) -> None:
        """Take a request of the core for a sign of work, if it is one."""
        if is_work(request):
            self._signs.work = time.monotonic()

    def told(self, progress: courier.Progress) -> None:
        """Take what the core says of itself."""
        with self._lock:
            self._signs.work = time.monotonic()
            worth_a_line = self._board.told(progress, time.time())
            self._signs.told, self._signs.busy = True, self._board.busy
            logged = self._board.logged()
        if worth_a_line:
            emit("worker.progress", **logged)
        self._changed.set()

    def fields(self) -> dict[str, Shown]:
        """Return what the worker shows now."""
        with self._lock:
            verdict = judge(self._signs, self._deadline, time.monotonic())
            return self._board.fields(verdict, time.time())

    def _look(self) -> None:
        before = time.monotonic()
        while not self._stop.is_set():
            self._changed.wait(LOOK_SECONDS)
            self._changed.clear()
            now = time.monotonic()
            if now - before > STOOD_STILL:
                self._signs.forgive(now - before)
            before = now
            self._judge()
            self._write()
            self._stop.wait(PAUSE_SECONDS)
        self._write()

    def _judge(self) -> None:
        verdict = judge(self._signs, self._deadline, time.monotonic())
        before, self._verdict = self._verdict, verdict
        role = self._board.role
        if verdict.reason != before.reason:
            emit("worker.health", role=role, health=verdict.health, reason=verdict.reason or "none")
        if verdict.ends and not before.ends:
            emit("worker.stalled", role=role, reason=verdict.reason, seconds=verdict.seconds)
            self._ends(verdict)

    def _write(self) -> None:
        """Replace the status file; one that cannot be written grows old, and that shows."""
        if self._path is None:
            return
        with suppress(OSError):
            self._effects.show(self._path, json.dumps(self.fields()))

    def _read(self) -> None:
        before: list[tuple[str, int]] = []
        while not self._stop.wait(READING_SECONDS):
            try:
                reading = self._effects.reading()
            except ChironError:
                continue  # the broker's silence shows
            now = time.monotonic()
            positions = [(topic, position) for topic, position, _end in reading]
            lag: dict[str, int] = {}
            for topic, position, end in reading:
                lag[topic] = lag.get(topic, 0) + max(0, end - position)
            with self._lock:
                self._board.lag = lag
                self._signs.broker = now
                if positions != before or not any(lag.values()):
                    self._signs.reading = now
            before = positions
