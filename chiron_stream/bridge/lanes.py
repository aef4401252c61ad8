"""Rows of one partition that are asked about: in order, from where the group stands on.

No Kafka here: which records are new, which wait, which are done with, and in what order.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Final

from chiron_stream.bridge.gathering import Refused
from chiron_stream.broker.records import Record
from chiron_stream.clients.answers import Answer

FIRST_PAUSE: Final = 15.0
"""Seconds without an answer behind which the same bytes go again; twice as long each time."""

LONGEST_PAUSE: Final = 600.0


@dataclass(eq=False)
class Question:
    """A record of the source that was asked about, or that is no row."""

    record: Record
    asked: Future[Answer] | Refused
    since: float = field(default_factory=time.monotonic)
    pause: float = FIRST_PAUSE
    again: float = 0.0

    def __post_init__(self) -> None:
        self.again = self.since + self.pause

    @property
    def is_open(self) -> bool:
        """Whether its answer is still to come."""
        return isinstance(self.asked, Future) and not self.asked.done()

    def is_late(self, now: float) -> bool:
        """Tell, once in a while and less and less often, that it should be asked again."""
        if not self.is_open or now < self.again:
            return False
        self.pause = min(2 * self.pause, LONGEST_PAUSE)
        self.again = now + self.pause
        return True

    def give_up(self) -> None:
        """Wait for its answer no longer."""
        if isinstance(self.asked, Future):
            self.asked.cancel()


class Lane:
    """One partition of the source: records that wait, behind those that were asked about.

    :param front: the offset of the first record that is not answered yet.
    """

    def __init__(self, front: int) -> None:
        self.front = front
        self.next = front
        self.losses = 0
        self._asked: deque[Question] = deque()
        self._waiting: deque[Record] = deque()

    def __len__(self) -> int:
        return len(self._asked) + len(self._waiting)

    def __iter__(self) -> Iterator[Question]:
        """Iterate over what was asked and is not written yet."""
        return iter(self._asked)

    @property
    def open(self) -> int:
        """How many answers are still to come."""
        return sum(one.is_open for one in self._asked)

    @property
    def first(self) -> int | None:
        """The offset of the first record in hand."""
        if self._asked:
            return self._asked[0].record.offset
        return self._waiting[0].offset if self._waiting else None

    def take(self, record: Record) -> bool:
        """Take a record, unless it is in hand or answered already."""
        if record.offset < self.next:
            return False
        self.next = record.offset + 1
        self._waiting.append(record)
        return True

    def ask(self, ask: Callable[[Record], Question]) -> bool:
        """Ask about the next record that waits; tell whether there was one."""
        if not self._waiting:
            return False
        self._asked.append(ask(self._waiting[0]))
        self._waiting.popleft()
        return True

    def settled(self, limit: int) -> list[Question]:
        """Return, in order, what can be written: as far as no answer before it is missing."""
        done = list(takewhile(lambda one: not one.is_open, self._asked))
        return done[:limit]

    def written(self, count: int) -> None:
        """Be done with so many."""
        for _ in range(count):
            self.front = self._asked.popleft().record.offset + 1
        self.losses = 0

    def restart(self, front: int, passed_over: Iterable[Record] = ()) -> None:
        """Go on at another front: what is before it was answered by somebody.

        :param passed_over: records between the front and the first in hand. What is in hand is
            asked again behind them, by the same tags.
        """
        while self._asked and self._asked[0].record.offset < front:
            self._asked.popleft().give_up()
        while self._waiting and self._waiting[0].offset < front:
            self._waiting.popleft()
        if missing := list(passed_over):
            self._waiting.extendleft(one.record for one in reversed(self._asked))
            self._waiting.extendleft(reversed(missing))
            self.give_up()
        behind = [front, *(one.offset + 1 for one in missing)]
        self.front, self.next = front, max(self.next, *behind)

    def give_up(self) -> None:
        """Wait for no answer any longer."""
        while self._asked:
            self._asked.popleft().give_up()
