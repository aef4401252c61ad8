"""Work of a party beside the story; what goes wrong in it is raised in the story."""

from __future__ import annotations

import threading
from collections.abc import Callable

from chiron_stream.errors import ChironError


class Background:
    """A thread that runs ``work`` once and ends with the process at the latest.

    :param name: of the thread.
    """

    def __init__(self, name: str, work: Callable[[], None]) -> None:
        self._work = work
        self._error: ChironError | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._work()
        except ChironError as error:
            self._error = error

    @property
    def done(self) -> bool:
        """Whether the work was done.

        :raises ChironError: it went wrong.
        """
        if self._error is not None:
            raise self._error
        return not self._thread.is_alive()

    def join(self) -> None:
        """Wait for the end of the work, however it ended."""
        self._thread.join()
