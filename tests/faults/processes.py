"""Writer processes as a test holds them, and a broker that stands still."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from chiron_stream.broker.local import LocalKafka
from tests.faults import writer_process
from tests.faults.writer_process import Options

ROOT: Final = Path(__file__).parents[2]

LONG: Final = 90.0
"""Seconds until a condition that must come is given up: far more than it takes."""

Event = dict[str, Any]


class WriterProcess:
    """A writer process, what it has said so far, and the handles to stop and kill it."""

    def __init__(self, options: Options, log: Path) -> None:
        self.options = options
        self.name = options.name
        self.log = log
        self.events: list[Event] = []
        self._changed = threading.Condition()
        self._silent = False
        with log.open("wb") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", writer_process.__name__, options.dump()],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                cwd=ROOT,
                text=True,
            )
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with self._changed:
                self.events.append(json.loads(line))
                self._changed.notify_all()
        with self._changed:
            self._silent = True
            self._changed.notify_all()

    def tell(self, do: str, **arguments: Any) -> None:
        """Give a command; a process that is stopped reads it when it is continued."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
        self._process.stdin.flush()

    @property
    def mark(self) -> int:
        """Where the events stand now, for ``since`` of :meth:`wait_for`."""
        with self._changed:
            return len(self.events)

    def wait_for(self, *kinds: str, nth: int = 1, since: int = 0, seconds: float = LONG) -> Event:
        """Return the ``nth`` event of these kinds after ``since``; fail when it cannot come."""
        deadline = time.monotonic() + seconds
        with self._changed:
            while len(found := self._of(kinds, since)) < nth:
                left = deadline - time.monotonic()
                over = self._silent or bool(self._of(("ended",)))
                assert left > 0, f"{kinds} of {self} did not come in {seconds:g} s"
                assert not over, f"{self} ended before {kinds}"
                self._changed.wait(left)
        return found[nth - 1]

    def _of(self, kinds: tuple[str, ...], since: int = 0) -> list[Event]:
        return [event for event in self.events[since:] if event["event"] in kinds]

    def of(self, *kinds: str) -> list[Event]:
        """Return the events of these kinds so far."""
        with self._changed:
            return self._of(kinds)

    @property
    def over(self) -> bool:
        """Whether the writer has met its error."""
        return bool(self.of("ended"))

    def follow(self, steps: int) -> None:
        """Wait until the writer has made this many steps, or has met its error."""
        with self._changed:
            self._changed.wait_for(
                lambda: (
                    len(self._of(("attempt", "committing"))) >= steps
                    or self._silent
                    or bool(self._of(("ended",)))
                ),
                LONG,
            )

    @property
    def attempted(self) -> set[int]:
        """Transactions that may be in the log."""
        return {event["transaction"] for event in self.of("attempt")}

    @property
    def acknowledged(self) -> set[int]:
        """Transactions that must be in the log."""
        return {event["transaction"] for event in self.of("committed")}

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def start(self) -> Event:
        """Let the writer start, and wait until it has."""
        self.tell("start")
        return self.wait_for("started")

    def commit_more(self, count: int) -> None:
        """Let the writer commit ``count`` transactions, and wait until it has."""
        mark = self.mark
        self.tell("run", count=count)
        self.wait_for("idle", since=mark)

    def pause(self) -> None:
        """Interrupt ``run`` between two transactions."""
        mark = self.mark
        self.tell("pause")
        self.wait_for("idle", since=mark)

    def freeze(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL; afterwards everything that the process has said is in ``events``."""
        self._process.kill()
        self._process.wait()
        self._listener.join()

    def end(self, seconds: float = LONG) -> int:
        """Let the process end and return its exit code."""
        self.tell("end")
        code = self._process.wait(seconds)
        self._listener.join()
        return code

    def close(self) -> None:
        """Leave nothing behind, in whatever state the process is."""
        self.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()

    def __str__(self) -> str:
        said = "\n".join(json.dumps(event) for event in self.events[-8:])
        errors = self.log.read_text(errors="replace")[-2000:]
        return f"writer {self.name} (seed {self.options.seed}, last said:\n{said}\n{errors})"


@contextmanager
def frozen(kafka: LocalKafka, number: int = 0) -> Iterator[None]:
    """Stop the broker's process for the length of a block; its connections stay open."""
    pid = kafka.nodes[number].pid
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)
