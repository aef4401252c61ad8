"""The client: it asks all the time, on several sessions, and waits for no single answer."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from typing import Final

import numpy as np

from chiron_stream import InsecureSimulation, QueryClient
from chiron_stream.clients.answers import Answer
from chiron_stream.errors import AnswerTimeout
from chiron_stream.local.directory import JobDirectory
from examples.demo.background import Background
from examples.demo.data import CLIENT, SEED, Data

SESSIONS: Final = 4
"""Each goes through one partition of ``queries``; the predictors share the partitions."""

UNDER_WAY: Final = 4
"""Queries of a session without an answer, at most, while the job trains."""

UNDER_WAY_AT_THE_END: Final = 16
PAUSE: Final = 0.012
"""Seconds between two queries while the job trains: two cores are for training."""

ANSWER_SECONDS: Final = 60.0
LOOK_SECONDS: Final = 0.05


@dataclass(frozen=True)
class Asked:
    """An opened answer: to which test row, by which release, which is of which version."""

    row: int
    value: str
    release: int
    version: int


@dataclass(frozen=True)
class _Query:
    row: int
    session: int
    began: float


class Asker:
    """A client with several sessions of one identity."""

    def __init__(self, directory: JobDirectory, data: Data) -> None:
        self._rows = data.test[data.input]
        self._input = data.input
        job, identity = directory.job(), directory.identity(CLIENT)
        self._clients = [
            QueryClient(job, identity, evidence=InsecureSimulation()) for _ in range(SESSIONS)
        ]
        self._pending: dict[Future[Answer], _Query] = {}
        self._stop = threading.Event()
        self.asked = 0
        self.answers: list[Asked] = []

    def start(self) -> Background:
        """Ask about one row after the other, round and round, until :meth:`finish`."""
        order = np.random.default_rng(SEED).permutation(len(self._rows)).tolist()
        return Background("asking", lambda: self._ask(itertools.cycle(order), UNDER_WAY, PAUSE))

    def finish(self) -> None:
        """Ask nothing more than what was asked."""
        self._stop.set()

    def ask_all(self) -> list[Asked]:
        """Ask about every row once; return the answers."""
        self._stop.clear()
        before = len(self.answers)
        self._ask(range(len(self._rows)), UNDER_WAY_AT_THE_END, 0.0)
        return self.answers[before:]

    def one_by_one(self, count: int) -> list[float]:
        """Ask so many queries, each behind the answer to the one before; return their seconds."""
        taken = []
        for number in range(count):
            row = number % len(self._rows)
            began = time.perf_counter()
            answer = self._clients[0].predict({self._input: self._rows[row]})
            taken.append(time.perf_counter() - began)
            self.asked += 1
            self._note(row, answer)
        return taken

    def waiting(self, since: float) -> list[Future[Answer]]:
        """Return the queries that were sent before a monotonic time and have no answer."""
        pending = list(self._pending.items())
        return [one for one, query in pending if query.began < since and not one.done()]

    def _ask(self, rows: Iterable[int], under_way: int, pause: float) -> None:
        for row, session in zip(rows, self._sessions(under_way), strict=False):
            self._send(row, session)
            if self._stop.wait(pause):
                break
        while self._pending:
            self._take()

    def _sessions(self, under_way: int) -> Iterator[int]:
        """Yield, as soon as there is one, a session that has room for another query."""
        while True:
            for session in range(SESSIONS):
                if sum(one.session == session for one in self._pending.values()) < under_way:
                    yield session
            self._take()

    def _send(self, row: int, session: int) -> None:
        future = self._clients[session].submit({self._input: self._rows[row]})
        self._pending[future] = _Query(row, session, time.monotonic())
        self.asked += 1

    def _take(self) -> None:
        """Wait a moment for answers, and note them.

        :raises AnswerTimeout: a query has waited too long.
        :raises ChironError: what came instead of an answer.
        """
        done, _ = wait(list(self._pending), LOOK_SECONDS, return_when=FIRST_COMPLETED)
        for one in done:
            self._note(self._pending.pop(one).row, one.result())
        late = self.waiting(time.monotonic() - ANSWER_SECONDS)
        if late:
            raise AnswerTimeout(
                f"{len(late)} queries have no answer",
                expected=f"an answer within {ANSWER_SECONDS:g} s",
            )

    def _note(self, row: int, answer: Answer) -> None:
        self.answers.append(Asked(row, str(answer.value), answer.release, answer.version))

    def close(self) -> None:
        """Disconnect; queries that wait are cancelled."""
        self._stop.set()
        for one in self._clients:
            one.close()
