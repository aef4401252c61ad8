"""From records of a source to windows of rows: which records a shard holds, and in which order.

A shard holds, of each partition of the source, the records between two offsets; its rows stand in
the order of partition and offset, whatever the order in which they came. So the same two resume
tokens always mean the same shard.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from chiron_stream.bridge.decoding import Poison, Reading, Reason, Row
from chiron_stream.bridge.positions import Position
from chiron_stream.broker.records import Record
from chiron_stream.clients.windows import Window
from chiron_stream.errors import SchemaMismatch
from chiron_stream.job.columns import Array
from chiron_stream.job.rows import Prepared, prepare
from chiron_stream.job.schema import Schema
from chiron_stream.sources.frames import columns_of_rows


class Kept(NamedTuple):
    """A record that decoded to a row."""

    record: Record
    row: Row

    @property
    def place(self) -> tuple[int, int]:
        """Partition and offset: the order of rows in a shard."""
        return self.record.partition.number, self.record.offset


class Refused(NamedTuple):
    """A record that is no row, and why: names, never values."""

    record: Record
    reason: Reason
    detail: str


class Rows(NamedTuple):
    """Rows that the schema takes, in order, and what it refused."""

    columns: Mapping[str, Array]
    number: int
    dropped: tuple[str, ...]
    refused: list[Refused]


def of_one_row(error: SchemaMismatch) -> str:
    """Return what is wrong with a row that was checked by itself: its number says nothing."""
    return error.message.replace(", row 0 (from 0)", "")


def rows_of(schema: Schema, kept: Iterable[Kept]) -> Rows:
    """Return the rows of a shard.

    They are checked together; if one is wrong, each by itself, and the wrong ones are left out.
    """
    ordered = sorted(kept, key=lambda one: one.place)
    if not ordered:
        return Rows({}, 0, (), [])
    try:
        whole = _prepared(schema, ordered)
    except SchemaMismatch:
        return _one_by_one(schema, ordered)
    return Rows(whole.columns, whole.rows, whole.dropped, [])


def _prepared(schema: Schema, kept: Sequence[Kept]) -> Prepared:
    return prepare(schema, columns_of_rows([one.row for one in kept], schema))


def _one_by_one(schema: Schema, kept: Sequence[Kept]) -> Rows:
    good: list[Prepared] = []
    refused: list[Refused] = []
    for one in kept:
        try:
            good.append(_prepared(schema, [one]))
        except SchemaMismatch as error:
            refused.append(Refused(one.record, Reason.SCHEMA, of_one_row(error)))
    if not good:
        return Rows({}, 0, (), refused)
    columns = {
        name: np.concatenate([one.columns[name] for one in good]) for name in good[0].columns
    }
    dropped = dict.fromkeys(name for one in good for name in one.dropped)
    return Rows(columns, len(good), tuple(dropped), refused)


class Gathering:
    """Records of a source that are in no shard yet.

    :param read: from a record to its row.
    :param position: behind the last shard.
    """

    def __init__(self, schema: Schema, read: Reading, position: Position) -> None:
        self._schema = schema
        self._read = read
        self.position = position
        self.next = dict(position.offsets)
        self._kept: list[Kept] = []

    def __len__(self) -> int:
        """Return how many rows wait."""
        return len(self._kept)

    def is_new(self, record: Record) -> bool:
        """Tell whether a record is in no shard and was not taken before."""
        return record.offset >= self.next.get(record.partition.number, 0)

    def take(self, record: Record) -> Refused | None:
        """Take a record; one that was taken before changes nothing.

        :return: what is no row.
        """
        if not self.is_new(record):
            return None
        self.next[record.partition.number] = record.offset + 1
        try:
            self._kept.append(Kept(record, self._read(record)))
        except Poison as poison:
            return Refused(record, poison.reason, poison.detail)
        return None

    def rows(self) -> Rows:
        """Return the rows that wait, in their order, as far as the schema takes them."""
        return rows_of(self._schema, self._kept)

    def cut(self) -> tuple[Window | None, Rows]:
        """Return the window of all rows that wait, if the schema takes any of them, and they."""
        found = self.rows()
        self._kept = []
        if not found.number:
            return None, found
        before = self.position
        begins = {number: before.offsets.get(number, 0) for number in self.next}
        first = begins if before.rows == 0 else None
        self.position = Position(before.rows + found.number, dict(self.next), first)
        return window(found, before, self.position), found


def window(found: Rows, before: Position, behind: Position) -> Window:
    """Return the window of rows between two positions."""
    span = before.rows, before.rows + found.number
    return Window(found.columns, *span, before.pack(), behind.pack())
