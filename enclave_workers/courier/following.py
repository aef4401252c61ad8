"""Reading ahead: followed partitions, in a thread, so that a core need not wait for a broker."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping
from typing import Final

from chiron_stream.broker.records import Isolation, Partition, Record
from chiron_stream.broker.seam import Reader
from chiron_stream.errors import ChironError

_FETCH_WAIT: Final = 0.25

QUEUE: Final = 2000
"""Records read ahead for a core, at most."""


class Follower:
    """A thread that reads followed partitions ahead, in order, into a bounded queue."""

    def __init__(
        self,
        reader: Reader,
        start: Mapping[Partition, int],
        isolation: Isolation,
        arrived: threading.Condition,
    ) -> None:
        self._reader = reader
        self.isolation = isolation
        self._next = dict(start)
        self._asked = False
        self._arrived = arrived
        self.records: deque[Record] = deque()
        self.error: ChironError | None = None
        self._stop = False
        self._thread = threading.Thread(target=self._run, name="follower", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop:
            try:
                records = self._reader.poll(_FETCH_WAIT)
                behind = self._behind() if self._asked else None
            except ChironError as error:
                with self._arrived:
                    self.error = error
                    self._arrived.notify_all()
                return
            with self._arrived:
                self.records.extend(records)
                if behind is not None:
                    self._next, self._asked = behind, False
                if records or behind is not None:
                    self._arrived.notify_all()
                while len(self.records) > QUEUE and not self._stop:
                    self._arrived.wait(_FETCH_WAIT)

    def _behind(self) -> dict[Partition, int]:
        return {place: self._reader.position(place) for place in self._next}

    def positions(self) -> dict[Partition, int]:
        """Return the next offset of each partition that was not taken.

        A reader is its thread's own, so that is asked; while its queue is full, nothing moves.
        """
        with self._arrived:
            self._asked = True
            self._arrived.wait_for(lambda: not self._asked or self._stop, 2 * _FETCH_WAIT)
            queued = {one.partition: one.offset for one in reversed(self.records)}
            return {**self._next, **queued}

    def stop(self) -> None:
        """End the thread and its reader."""
        with self._arrived:
            self._stop = True
            self._arrived.notify_all()
        self._thread.join()
        self._reader.close()
