"""Schedules of faults drawn from a seed: who is struck, how, and how long nobody is."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from signal import SIGKILL, SIGSTOP, SIGTERM
from typing import Final

from chiron_stream.broker.local import LocalKafka
from tests.crash.killing import PREDICTOR, CrashedJob, send
from tests.crash.orders import Order
from tests.crash.waiting import wait_for
from tests.faults.processes import frozen

STRIKES: Final = 8

ROUNDS: Final = 6
"""That may be made around each strike."""

FENCED: Final = 9

BRIEF: Final = (0.2, 2.0)
"""Seconds that a worker or the broker stands still without being missed."""

LONG: Final = (7.0, 10.0)
"""Seconds that a worker stands still past its lease."""

PAUSE: Final = (0.0, 1.5)
"""Seconds between two strikes."""

COMMITS: Final = ("commit.before", "commit.sent", "commit.after")


@dataclass(frozen=True)
class Standing:
    """A worker that stands still until a moment, by the monotonic clock."""

    worker: str
    until: float


class Schedule:
    """The faults of one seed, played on one job.

    The same seed draws the same strikes in the same order; when processes come to them is theirs.
    """

    def __init__(self, seed: int, job: CrashedJob, kafka: LocalKafka) -> None:
        self.seed = seed
        self._chance = random.Random(seed)
        self._job = job
        self._kafka = kafka
        self._standing: list[Standing] = []
        self.done: list[str] = []
        self.fenced: list[str] = []

    def play(self) -> None:
        """Strike again and again; at the end nobody stands still any more."""
        strikes: dict[str, Callable[[], str]] = {
            "kill": self._kill,
            "leave": self._leave,
            "stop": self._stop,
            "succeed": self._succeed,
            "freeze": self._freeze,
        }
        for name in self._drawn(list(strikes)):
            self._job.pace.allow(ROUNDS)
            self.done.append(f"{name} {strikes[name]()}")
            print(f"seed {self.seed}: {self.done[-1]}, version {self._job.version}", flush=True)
            time.sleep(self._chance.uniform(*PAUSE))  # drawn like all the rest
            self._let_go(one for one in self._standing if one.until <= time.monotonic())
        for one in list(self._standing):
            time.sleep(max(0.0, one.until - time.monotonic()))  # as long as was drawn
            self._let_go([one])

    def _drawn(self, names: list[str]) -> list[str]:
        """Each kind of strike once, and some more, in any order."""
        drawn = names + self._chance.choices(names, k=STRIKES - len(names))
        self._chance.shuffle(drawn)
        return drawn

    def _let_go(self, these: Iterable[Standing]) -> None:
        for one in list(these):
            self._standing.remove(one)
            self._job.go_on(one.worker)

    def _kill(self) -> str:
        """SIGKILL one or both processes of any worker."""
        worker = self._chance.choice([self._job.coordinator, *self._job.trainers, PREDICTOR])
        halves = self._chance.choice(["courier", "core", "both"])
        processes = self._job.processes(worker)
        send({"courier": processes[:1], "core": processes[1:]}.get(halves, processes), SIGKILL)
        self._let_go(one for one in self._standing if one.worker == worker)
        return f"{halves} of {worker}"

    def _leave(self) -> str:
        """Ask a trainer to end: one that stands still hears of it when it goes on."""
        worker = self._chance.choice(self._job.trainers)
        send(self._job.processes(worker)[:1], SIGTERM)
        return worker

    def _stop(self) -> str:
        """Let a worker stand still, briefly or past its lease."""
        worker = self._chance.choice([self._job.coordinator, *self._job.trainers])
        seconds = self._chance.uniform(*self._chance.choice([BRIEF, LONG]))
        if all(one.worker != worker for one in self._standing):
            send(self._job.processes(worker), SIGSTOP)
            self._standing.append(Standing(worker, time.monotonic() + seconds))
        return f"{worker} for {seconds:.1f} s"

    def _succeed(self) -> str:
        """Stop a coordinator in a commit, start another, and see the first one end FENCED."""
        first, order = self._job.coordinator, Order(self._chance.choice(COMMITS), stop=True)
        self._let_go(self._standing)
        self._job.stop(first, order)
        self._job.succeed()
        self._job.goes_on(f"the successor of {first}")
        self._job.go_on(first)
        service = self._job.running.services[first]
        wait_for(lambda: service.final_code is not None, f"{first} has ended")
        assert service.final_code == FENCED, first
        self.fenced.append(first)
        return f"{first} at {order}"

    def _freeze(self) -> str:
        """Let the broker stand still."""
        seconds = self._chance.uniform(*BRIEF)
        with frozen(self._kafka):
            time.sleep(seconds)  # that nobody gets an answer is the point
        return f"the broker for {seconds:.1f} s"
