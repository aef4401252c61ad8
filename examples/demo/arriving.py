"""Owners bring rows day by day; which day one brings depends on what the other has brought."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Final

from chiron_stream.recipe.published import DataSetName
from examples.demo.data import Data, Rows

ACCEPT_SECONDS: Final = 120.0
"""Within which the coordinator accepts a day's rows."""


class Owner(ABC):
    """One owner of the demo, in whatever way its rows come."""

    def __init__(self, name: str, data: Data) -> None:
        self.name = name
        self.data = data
        self._brought = -1
        self._change = threading.Condition()

    def bring(self, day: int) -> None:
        """Bring a day's rows; return when all are accepted."""
        self._bring(day, self.data.day(self.name, day))
        with self._change:
            self._brought = day
            self._change.notify_all()

    def bring_all(self, days: Iterable[int]) -> None:
        """Bring one day after the other."""
        for day in days:
            self.bring(day)

    def has_brought(self, day: int) -> None:
        """Wait until a day's rows are accepted."""
        with self._change:
            self._change.wait_for(lambda: self._brought >= day)

    @abstractmethod
    def _bring(self, day: int, rows: Rows) -> None: ...

    @property
    @abstractmethod
    def tables(self) -> Mapping[DataSetName, Rows]:
        """All rows so far, by data set."""

    @property
    @abstractmethod
    def shards(self) -> int:
        """Shards accepted so far."""

    @abstractmethod
    def receipts(self, passes: int) -> int:
        """Return how many shards have a verified receipt of each of their passes.

        :raises TamperDetected: checkpoints that are no honest history.
        """

    @abstractmethod
    def close(self) -> None:
        """Listen no more, and disconnect."""


def arrive(owner: Owner, beside: Owner, days: Iterable[int]) -> None:
    """Have an owner join, and bring its rows.

    It brings a day when the owner beside it has: a window is then never of one owner's rows alone.
    """
    for day in days:
        beside.has_brought(day)
        owner.bring(day)


def go_on(owner: Owner, beside: Owner, days: Iterable[int]) -> None:
    """Have an owner go on when another has joined, a day when that has brought the one before."""
    for place, day in enumerate(days):
        if place:
            beside.has_brought(day - 1)
        owner.bring(day)


def tables(owners: Iterable[Owner]) -> Mapping[DataSetName, Rows]:
    """Return all that was published, by data set."""
    return {name: rows for one in owners for name, rows in one.tables.items()}
