"""The two data owners: what they bring, day by day, and their receipts at the end."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from typing import Final

from chiron_stream import DataOwner, InsecureSimulation
from chiron_stream.clients.publication import Publication
from chiron_stream.local.directory import JobDirectory
from chiron_stream.recipe.published import DataSetName
from examples.demo.data import Data, Rows

ACCEPT_SECONDS: Final = 120.0


class Owner:
    """One owner, connected to the job, as long as it is not closed."""

    def __init__(self, directory: JobDirectory, name: str, data: Data) -> None:
        self.name = name
        self._data = data
        evidence = InsecureSimulation()
        self._party = DataOwner(directory.job(), directory.identity(name), evidence=evidence)
        self.publications: list[Publication] = []
        self.tables: dict[DataSetName, Rows] = {}
        self._brought = -1
        self._change = threading.Condition()

    def bring(self, day: int) -> None:
        """Seal and publish a day's rows as a data set; return when all are accepted."""
        rows, name = self._data.day(self.name, day), f"day-{day:02}"
        size = self._data.pace.rows_per_shard
        publication = self._party.publish(rows, dataset=name, rows_per_shard=size)
        self.publications.append(publication)
        self.tables[DataSetName(self._party.identity.public, name)] = rows
        publication.wait("accepted", ACCEPT_SECONDS)
        with self._change:
            self._brought = day
            self._change.notify_all()

    def bring_all(self, days: Iterable[int]) -> None:
        """Publish one day after the other."""
        for day in days:
            self.bring(day)

    def has_brought(self, day: int) -> None:
        """Wait until a day's rows are accepted."""
        with self._change:
            self._change.wait_for(lambda: self._brought >= day)

    @property
    def shards(self) -> int:
        """Shards published so far."""
        return sum(len(one.sent) for one in self.publications)

    def receipts(self, passes: int) -> int:
        """Return how many shards have a verified receipt of each of their passes.

        :raises TamperDetected: checkpoints that are no honest history.
        """
        found = [receipt for one in self.publications for receipt in one.receipts()]
        return sum(len(one.checkpoints) == passes for one in found)

    def close(self) -> None:
        """Listen no more, and disconnect."""
        for one in self.publications:
            one.close()
        self._party.close()


def arrive(owner: Owner, beside: Owner, days: Iterable[int]) -> None:
    """Have an owner join, and bring its rows through the library, a call of ``publish`` a day.

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
