"""A client that asks on, whatever happens to the workers meanwhile."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from chiron_stream import InsecureSimulation, QueryClient
from chiron_stream.clients.answers import Answer
from chiron_stream.errors import ChironError
from chiron_stream.job.file import Job
from tests.crash import jobs
from tests.crash.waiting import LIMIT, Stuck, wait_for

BETWEEN_QUESTIONS: Final = 0.05


@dataclass(frozen=True)
class Asked:
    """A question by its row, when it was asked, and its answer."""

    row: int
    at: float
    answer: Answer


class Asker:
    """A client that asks one question after another, from a thread."""

    def __init__(self, job: Job, identity: Path) -> None:
        self._job = job
        self._identity = identity
        self._questions = jobs.questions()
        self._between = BETWEEN_QUESTIONS
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="asker", daemon=True)
        self.asked: list[Asked] = []
        self.error: ChironError | None = None

    def _run(self) -> None:
        try:
            with QueryClient(self._job, self._identity, evidence=InsecureSimulation()) as client:
                while not self._stop.wait(self._between):
                    row, at = len(self.asked) % jobs.ROWS, time.time()
                    answer = client.predict(self._questions[row], timeout=2 * LIMIT)
                    self.asked.append(Asked(row, at, answer))
        except ChironError as error:
            self.error = error

    def answered(self, since: float) -> bool:
        """Tell whether a question has its answer that was asked behind a moment.

        :raises Stuck: there will be no more.
        """
        if self.error is not None:
            raise Stuck(f"the client ended: {self.error}")
        asked = list(self.asked)
        return bool(asked) and asked[-1].at > since

    def ask_all(self, version: int) -> list[str]:
        """Return the answers of a version to every question, in order."""
        self._between = 0.0  # nothing else goes on any more
        wait_for(lambda: len(self._of(version)) == jobs.ROWS, f"all answers of version {version}")
        found = self._of(version)
        return [found[row] for row in range(jobs.ROWS)]

    def _of(self, version: int) -> dict[int, str]:
        self.answered(0)
        asked = list(self.asked)
        return {one.row: one.answer.value for one in asked if one.answer.version == version}

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join(2 * LIMIT)
