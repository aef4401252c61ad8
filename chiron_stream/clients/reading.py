"""Reading answers: as they come, for who asks; from a cursor on, for any process of the client."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator, Iterator
from typing import Final

from chiron_stream.broker.records import Isolation, Partition
from chiron_stream.broker.seam import Reader
from chiron_stream.clients.answers import Answer, Opener
from chiron_stream.clients.cursors import offset_of
from chiron_stream.clients.party import Party
from chiron_stream.clients.state import QueryState
from chiron_stream.errors import ChironError
from chiron_stream.wire.serving import QueryName

_POLL: Final = 0.25
"""Seconds of one look at the broker."""


class AnswerLog:
    """The partition of ``answers`` that a state's sessions name, and what in it is the client's."""

    def __init__(self, party: Party, state: QueryState) -> None:
        self._broker = party.broker
        self._place: Partition = party.partition("answers", state.partition)
        self._state = state
        self.opener = Opener(party.job.policy, state)

    @property
    def end(self) -> int:
        """The offset that the next answer will get; unverified, as all offsets are."""
        return self._broker.watermarks(self._place).high

    def unanswered(self) -> int:
        """Return where the first answer may stand that a tagged query still waits for."""
        return self._there(self._state.unanswered_start())

    def _there(self, start: int | None) -> int:
        """Return an offset, or where the log begins by now; the end, if there is nothing yet."""
        marks = self._broker.watermarks(self._place)
        return marks.high if start is None else max(start, marks.low)

    def _reader(self, start: int) -> Reader:
        return self._broker.reader({self._place: start}, isolation=Isolation.READ_UNCOMMITTED)

    def follow(self, start: int, stop: threading.Event) -> Iterator[list[tuple[QueryName, Answer]]]:
        """Yield answers as they come, until ``stop`` is set.

        :raises TamperDetected: the log was withheld or rolled back, or the state altered.
        """
        with self._reader(start) as reader:
            while not stop.is_set():
                yield self.opener.take(reader.poll(_POLL))

    def looks(
        self, after: str | None, timeout: float | None, stop: threading.Event
    ) -> Generator[list[Answer], None, None]:
        """Return the answers behind a cursor, one look at the broker after the other.

        :param after: None: from the first that is still there.
        :param timeout: seconds without a further answer behind which it ends; None: never.
        :raises UsageRefused: no cursor, or one of other answers.
        """
        if after is None:
            start = self._there(self._state.first_start())
        else:
            start = offset_of(after, self._state.name)
        return self._looks(start, timeout, stop)

    def _looks(
        self, start: int, timeout: float | None, stop: threading.Event
    ) -> Generator[list[Answer], None, None]:
        with self._reader(start) as reader:
            last = time.monotonic()
            while not stop.is_set():
                left = _POLL if timeout is None else last + timeout - time.monotonic()
                found = self.opener.take(reader.poll(min(_POLL, max(left, 0.01))))
                yield [answer for _name, answer in found]
                if found:
                    last = time.monotonic()
                elif left <= 0 and reader.position(self._place) >= self.end:
                    return
        raise closed()


def closed() -> ChironError:
    """Return the error of whoever waits for a client that is closed."""
    return ChironError(
        "the client was closed before the answer came",
        code="CLOSED",
        hint="with state=FILE another client reads it: results(after=...)",
    )
