"""A data owner with a table: a call of ``publish`` a day, and its receipts at the end."""

from __future__ import annotations

from collections.abc import Mapping

from chiron_stream import DataOwner, InsecureSimulation
from chiron_stream.clients.publication import Publication
from chiron_stream.local.directory import JobDirectory
from chiron_stream.recipe.published import DataSetName
from examples.demo.arriving import ACCEPT_SECONDS, Owner
from examples.demo.data import Data, Rows


class PublishingOwner(Owner):
    """An owner that is connected to the job, as long as it is not closed."""

    def __init__(self, directory: JobDirectory, name: str, data: Data) -> None:
        super().__init__(name, data)
        evidence = InsecureSimulation()
        self._party = DataOwner(directory.job(), directory.identity(name), evidence=evidence)
        self._tables: dict[DataSetName, Rows] = {}
        self.publications: list[Publication] = []

    def _bring(self, day: int, rows: Rows) -> None:
        """Seal and publish a day's rows as a data set of their own."""
        name = f"day-{day:02}"
        size = self.data.pace.rows_per_shard
        publication = self._party.publish(rows, dataset=name, rows_per_shard=size)
        self.publications.append(publication)
        self._tables[DataSetName(self._party.identity.public, name)] = rows
        publication.wait("accepted", ACCEPT_SECONDS)

    @property
    def tables(self) -> Mapping[DataSetName, Rows]:
        """All rows so far, by data set."""
        return self._tables

    @property
    def shards(self) -> int:
        """Shards published so far."""
        return sum(len(one.sent) for one in self.publications)

    def receipts(self, passes: int) -> int:
        """Return how many shards have a receipt of each of their passes."""
        found = [receipt for one in self.publications for receipt in one.receipts()]
        return sum(len(one.checkpoints) == passes for one in found)

    def close(self) -> None:
        """Listen no more, and disconnect."""
        for one in self.publications:
            one.close()
        self._party.close()
