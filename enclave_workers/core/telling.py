"""What a trainer or predictor tells its courier of itself: its state, its tasks, that it moves.

All of it is told by the thread that does the work, so that a thread that stands still says nothing,
whatever the heart does.
"""

from __future__ import annotations

from typing import Final

from chiron_stream.wire.courier import Progress
from chiron_stream.wire.tasks import Serve, Task
from enclave_workers.core.link import Link

PARTS: Final = 4
"""A task that moves says so as often in a step deadline, whatever its steps: how many there are
would say how many rows it has, which padding hides."""


class Telling:
    """What one boot has told.

    :param step_deadline: of the policy, in seconds, which are heartbeats.
    """

    def __init__(self, link: Link, step_deadline: int) -> None:
        self._link = link
        self._every = max(1, step_deadline // PARTS)
        self._state = ""
        self._release = 0
        self._tasks = 0
        self._busy = False
        self._moved = 0

    def be(self, state: str) -> None:
        """Tell the state, when it is another one."""
        if state != self._state:
            self._state = state
            self._tell()

    def begin(self) -> None:
        """Tell that a task has come; only who was welcomed gets one."""
        self._state = "ready"
        self._tasks += 1
        self._busy = True
        self._tell()

    def move(self, beats: int) -> None:
        """Tell now and then that the task at hand moves.

        :param beats: heartbeats of this boot so far.
        """
        if self._busy and beats - self._moved >= self._every:
            self._moved = beats
            self._tell()

    def serves(self, task: Task) -> None:
        """Note which release a task that was done brought; told with its end."""
        if isinstance(task, Serve):
            self._release = task.release

    def end(self) -> None:
        """Tell that the task is no longer at hand."""
        self._busy = False
        self._tell()

    def _tell(self) -> None:
        self._link.progress(
            Progress(
                state=self._state,
                waiting_for="coordinator" if self._state == "joining" else "",
                release=self._release,
                tasks=self._tasks,
                busy=self._busy,
            )
        )
