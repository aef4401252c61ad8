"""What is seen of the job from outside: signed checkpoints, workers' status, answers so far."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from chiron_stream.clients.observer import Observer
from chiron_stream.errors import ChironError, Timeout
from chiron_stream.local.running import RunningJob
from chiron_stream.local.workers import workers
from chiron_stream.wire.receipts import Checkpoint
from examples.demo.accuracy import Accuracy
from examples.demo.asking import Asker
from examples.demo.background import Background
from examples.demo.data import Data
from examples.demo.saying import say

LOOK_SECONDS: Final = 0.1
SERVED_SECONDS: Final = 60.0
"""Within which predictors serve a release."""

EVERY: Final = 10
"""Rounds between two lines."""


class WorkerEnded(ChironError):
    """A worker ended for a reason that starting again cannot mend."""

    default_code = "WORKER_ENDED"


class Watch:
    """Looks at the job while the story waits for something."""

    def __init__(self, running: RunningJob, asker: Asker, data: Data, ended: Sequence[str]) -> None:
        self._run = running.directory.run
        self._observer = Observer(running.job)
        self._asker = asker
        self._ended = ended
        self._backgrounds: list[Background] = []
        self._shown = self._answers = 0
        self.accuracy = Accuracy(data)
        self.last: Checkpoint | None = None

    def also(self, one: Background) -> None:
        """Raise what goes wrong in a party's work, too."""
        self._backgrounds.append(one)

    @property
    def round(self) -> int:
        """The newest committed round."""
        return self.last.round if self.last else 0

    def until(self, condition: Callable[[], bool], what: str, seconds: float) -> None:
        """Look on until a condition holds.

        :raises Timeout: it does not in ``seconds``.
        :raises ChironError: a worker or a party's work ended by an error.
        """
        deadline = time.monotonic() + seconds
        self.look()
        while not condition():
            if time.monotonic() > deadline:
                raise Timeout("the demo does not go on", expected=f"{what} within {seconds:g} s")
            time.sleep(LOOK_SECONDS)
            self.look()

    def until_round(self, number: int, seconds: float) -> None:
        """Look on until a round is committed."""
        self.until(lambda: self.round >= number, f"round {number}", seconds)

    def until_trained(self, shards: int, seconds: float) -> None:
        """Look on until so many shards have had all their passes, and predictors serve the last."""
        self.until(lambda: self._is_trained(shards), "the end of training", seconds)
        self.until(self._is_served, "the last release at every predictor", SERVED_SECONDS)

    def look(self) -> None:
        """Read on; tell of the round now and then."""
        for one in self._backgrounds:
            assert one.done in (True, False)
        if self._ended:
            raise WorkerEnded(f"{self._ended[0]} ended for good", hint=f"logs are in {self._run}")
        self.last = self._observer.look().checkpoint or self.last
        if self.last is not None and self.last.round >= self._shown + EVERY:
            self.tell()

    def tell(self) -> None:
        """Say how far the job is, and how good the answers since the last line were."""
        if self.last is None:
            return
        answers = self._asker.answers[self._answers :]
        self._answers += len(answers)
        self._shown = self.last.round
        said = self.accuracy.said(answers)
        say(f"round {self.last.round}, release {self.last.release}: {said}")

    def worker(self, name: str) -> dict[str, Any]:
        """Return what a worker says of itself now; nothing while it starts."""
        return next((one for one in workers(self._run) if one["name"] == name), {})

    def _is_trained(self, shards: int) -> bool:
        told = self.worker("coordinator-0")
        return (
            self.last is not None
            and self.last.trained == shards
            and told.get("waiting_for") == "shards"
            and told.get("version") == self.last.version
        )

    def _is_served(self) -> bool:
        serving = [one for one in workers(self._run) if one["role"] == "predictor"]
        release = self.last.release if self.last else 0
        return bool(serving) and all(one["serves"] == release for one in serving)

    def close(self) -> None:
        """Look no more."""
        self._observer.close()
