"""kill -9 of workers in the middle of something, and who took over.

A worker is frozen first (SIGSTOP): what it has in hand then stays in its hands, and is seen from
outside. If it had nothing it goes on, and another moment is tried. Then both of its processes are
killed, and nobody starts it again before another one has done its work.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final

import psutil

from chiron_stream.errors import Timeout
from chiron_stream.local.running import RunningJob
from examples.demo.asking import Asker
from examples.demo.saying import say
from examples.demo.watching import Watch

FROZEN_SECONDS: Final = 1.5
"""Enough to see what is in a worker's hands, and less than what makes it count as lost."""

ATTEMPTS: Final = 40
TAKEOVER_SECONDS: Final = 90.0


@dataclass(frozen=True)
class Killed:
    """A worker that was killed behind a round, in the middle of something, and who took over.

    ``seconds``: until another worker had done what it had in hand.
    """

    name: str
    by: str
    round: int
    seconds: float


@dataclass(frozen=True)
class _Caught:
    in_hand: str
    done: Callable[[], bool]
    began: float
    round: int


Holds = Callable[[str], str]
"""What a frozen worker has in hand, for people; empty if it has nothing."""

TakenOver = Callable[[], Callable[[], bool]]
"""Notes what is in hand now; the result tells whether it has been done since."""


class Killer:
    """Kills workers of the running job."""

    def __init__(self, running: RunningJob, watch: Watch, asker: Asker) -> None:
        self._running = running
        self._watch = watch
        self._asker = asker

    def trainer(self) -> Killed:
        """Kill a trainer that holds a slot of an open round; the other one trains the slot."""
        return self._kill("trainer", self._holds_slot, self._round_goes_on)

    def predictor(self) -> Killed:
        """Kill a predictor that queries are on their way to; the other one answers them."""
        return self._kill("predictor", self._holds_queries, self._answered)

    def _kill(self, role: str, holds: Holds, taken_over: TakenOver) -> Killed:
        for attempt in range(ATTEMPTS):
            number = attempt % 2
            name = f"{role}-{number}"
            caught = self._catch(name, holds, taken_over)
            if caught is None:
                continue
            say(f"kill -9 of {name}, which had {caught.in_hand}")
            self._watch.until(caught.done, f"another {role} has taken over", TAKEOVER_SECONDS)
            seconds = round(time.monotonic() - caught.began, 1)
            by = f"{role}-{1 - number}"
            say(f"{by} took over: done {seconds} s after the kill; {name} is started again")
            self._running.start_worker(role, number)
            return Killed(name, by, caught.round, seconds)
        raise Timeout(f"no {role} was caught in the middle of something")

    def _catch(self, name: str, holds: Holds, taken_over: TakenOver) -> _Caught | None:
        """Kill a worker if it has something in hand; nobody starts it again before we do."""
        with self._frozen(name) as processes:
            in_hand = holds(name)
            if not in_hand:
                return None
            caught = _Caught(in_hand, taken_over(), time.monotonic(), self._watch.round)
            for one in processes:
                one.kill()
        self._running.services[name].stop()
        return caught

    @contextmanager
    def _frozen(self, name: str) -> Iterator[list[psutil.Process]]:
        """Freeze a worker, courier and core; it goes on in the end if it is still there."""
        service = self._running.services[name]
        self._watch.until(lambda: service.pid is not None, f"{name} runs", TAKEOVER_SECONDS)
        courier = psutil.Process(service.pid)
        processes = [courier, *courier.children(recursive=True)]
        for one in processes:
            one.suspend()
        try:
            yield processes
        finally:
            for one in processes:
                with suppress(psutil.NoSuchProcess):
                    one.resume()

    def _holds_slot(self, name: str) -> str:
        """Say which round stands still because this trainer does; nothing if none does."""
        self._watch.look()
        before, deadline = self._watch.round, time.monotonic() + FROZEN_SECONDS
        while time.monotonic() < deadline:
            time.sleep(0.1)
            self._watch.look()
            if self._watch.round > before + 1:
                return ""
        told = self._watch.worker("coordinator-0")
        if not told.get("open_slots") or not self._watch.worker(name).get("busy"):
            return ""
        return f"a slot of round {told['round']} in hand"

    def _round_goes_on(self) -> Callable[[], bool]:
        before = self._watch.round
        return lambda: self._watch.round > before

    def _holds_queries(self, _name: str) -> str:
        """Say how many queries wait because this predictor stands still; nothing if none does."""
        began, answered = time.monotonic(), len(self._asker.answers)
        time.sleep(FROZEN_SECONDS)
        waiting = self._asker.waiting(began + FROZEN_SECONDS / 2)
        if not waiting or len(self._asker.answers) == answered:
            return ""
        return f"{len(waiting)} queries on their way to it"

    def _answered(self) -> Callable[[], bool]:
        waiting = self._asker.waiting(time.monotonic() - FROZEN_SECONDS / 2)
        return lambda: all(one.done() for one in waiting)
