"""The rows of planned shards, cut again from the tables that their owners published."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy.typing as npt

from chiron_stream.wire.receipts import Plan, PlannedShard

Rows = Mapping[str, npt.NDArray[Any]]


class DataSetName(NamedTuple):
    """A data set: its owner's identity, and the owner's name for it."""

    owner: bytes
    name: str


def data_sets(plans: Iterable[Plan]) -> list[DataSetName]:
    """Return the data sets that were trained on, in the order of their first use."""
    return list(dict.fromkeys(name_of(shard) for shard in _shards(plans)))


def name_of(shard: PlannedShard) -> DataSetName:
    """Return the data set that a shard is of."""
    return DataSetName(shard.owner, shard.data_set)


class Published:
    """Tables as they were published: shard after shard, each behind the rows of the one before.

    A shard need not be full: an owner may have come back with more rows. What stands in no plan,
    because it was VOID or is for evaluation, is taken for full.

    :param tables: by data set, with all rows from the first one on.
    :param plans: of all rounds.
    :param size: rows of a full shard.
    """

    def __init__(
        self, tables: Mapping[DataSetName, Rows], plans: Iterable[Plan], size: int
    ) -> None:
        self._tables = tables
        self._starts: dict[DataSetName, list[int]] = {}
        rows: dict[DataSetName, dict[int, int]] = {}
        for shard in _shards(plans):
            rows.setdefault(name_of(shard), {})[shard.number] = shard.rows
        for name, known in rows.items():
            starts = self._starts[name] = [0]
            for number in range(max(known)):
                starts.append(starts[-1] + known.get(number, size))

    def rows_of(self, shard: PlannedShard) -> Rows:
        """Return the rows of a shard that one of the plans names; fewer if the table ends."""
        name = name_of(shard)
        start = self._starts[name][shard.number]
        table = self._tables[name]
        return {column: array[start : start + shard.rows] for column, array in table.items()}


def _shards(plans: Iterable[Plan]) -> Iterator[PlannedShard]:
    return (shard for plan in plans for slot in plan.slots for shard in slot.shards)
