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
from examples.demo.watching import LOOK_SECONDS, Watch

FROZEN_SECONDS: Final = 4.0
"""Enough to see what is in a worker's hands, and less than what makes it count as lost."""

STILL_SECONDS: Final = 1.0
"""So long nothing comes of a round, or of a query, that a frozen worker has in hand."""

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
        """Say which round waits for this trainer alone; nothing if none does.

        A trainer is leased one slot at a time, a frozen one too until it counts as lost: as long as
        there is something to train on, the others soon have done all of a round but that slot.
        """
        seen, since = -1, time.monotonic()
        deadline = since + FROZEN_SECONDS
        while time.monotonic() < deadline:
            self._watch.look()
            if seen != self._watch.round:
                seen, since = self._watch.round, time.monotonic()
            elif time.monotonic() - since > STILL_SECONDS and self._one_is_missing(name):
                return f"the last open slot of round {seen + 1} in hand"
            time.sleep(LOOK_SECONDS)
        return ""

    def _one_is_missing(self, name: str) -> bool:
        others = (one for one in self._running.services if one.startswith("trainer-"))
        return self._watch.worker("coordinator-0").get("open_slots") == 1 and not any(
            self._watch.worker(one).get("busy") for one in others if one != name
        )

    def _round_goes_on(self) -> Callable[[], bool]:
        before = self._watch.round
        return lambda: self._watch.round > before

    def _holds_queries(self, _name: str) -> str:
        """Say how many queries wait because this predictor stands still; nothing if none does."""
        deadline, answered = time.monotonic() + FROZEN_SECONDS, len(self._asker.answers)
        while time.monotonic() < deadline:
            time.sleep(LOOK_SECONDS)
            waiting = self._asker.waiting(time.monotonic() - STILL_SECONDS)
            if waiting and len(self._asker.answers) > answered:
                return f"{len(waiting)} queries on their way to it"
        return ""

    def _answered(self) -> Callable[[], bool]:
        waiting = self._asker.waiting(time.monotonic() - STILL_SECONDS)
        return lambda: all(one.done() for one in waiting)
