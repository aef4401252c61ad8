"""CSV with a header line, as spreadsheets and ``psql COPY ... TO STDOUT CSV HEADER`` write it.

Cells are texts: the job's schema says which columns are numbers. An empty cell of a number column
is a missing value.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from chiron_stream.errors import SchemaMismatch
from chiron_stream.job.schema import NumberColumn, Schema, TargetColumn, TensorColumn

if TYPE_CHECKING:
    from chiron_stream.sources.files import Source

BATCH_ROWS: Final = 2_000
BATCH_CELLS: Final = 100_000
"""Rows of a batch, and cells of one: 10 MB as Python has them."""

_EXPECTED: Final = "CSV in UTF-8 with a header line"


class CsvTable:
    """The rows of a CSV source.

    :param schema: says which columns are numbers.
    """

    unread = ()

    def __init__(self, source: Source, schema: Schema) -> None:
        self._source = source
        columns = schema.columns
        self._numbers = {
            one.name for one in columns if isinstance(one, NumberColumn | TargetColumn)
        }
        self._tensors = {one.name for one in columns if isinstance(one, TensorColumn)}

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield columns of rows.

        :raises SchemaMismatch: naming line, or row and column, never a cell.
        :raises UsageRefused: it is no CSV.
        """
        try:
            with self._source.open() as file:
                text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
                try:
                    yield from self._batches(csv.reader(text))
                finally:
                    text.detach()  # who opened the file closes it
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise self._source.unreadable(_EXPECTED, type(error).__name__) from error

    def _batches(self, lines: Any) -> Iterator[dict[str, Any]]:
        names = next(lines, None)
        if names is None:
            raise SchemaMismatch(f"{self._source.name} is empty", code="NO_ROWS")
        self._check(names)
        size = max(1, min(BATCH_ROWS, BATCH_CELLS // max(1, len(names))))
        rows: list[list[str]] = []
        try:
            for row in self._whole(lines, names):
                rows.append(row)
                if len(rows) == size:
                    yield self._columns(names, rows)
                    rows = []
        except (SchemaMismatch, UnicodeDecodeError, csv.Error):
            if rows:  # what is in front of the broken line is whole
                yield self._columns(names, rows)
            raise
        if rows:
            yield self._columns(names, rows)

    def _check(self, names: list[str]) -> None:
        if twice := [name for name in names if names.count(name) > 1]:
            raise SchemaMismatch(
                f"column {twice[0]!r}: the data has it twice",
                expected="one column of this name",
                got=str(names.count(twice[0])),
            )
        if tensors := [name for name in names if name in self._tensors]:
            raise SchemaMismatch(
                f"the column {tensors[0]!r} is a tensor, which CSV cannot hold",
                hint="use Parquet, JSON lines or .npz",
            )

    def _whole(self, lines: Any, names: list[str]) -> Iterator[list[str]]:
        for row in lines:
            if len(row) != len(names):
                raise SchemaMismatch(
                    f"line {lines.line_num} of {self._source.name} has another number of cells",
                    expected=str(len(names)),
                    got=str(len(row)),
                )
            yield row

    def _columns(self, names: list[str], rows: list[list[str]]) -> dict[str, Any]:
        columns = dict(zip(names, zip(*rows, strict=True), strict=True))
        return {
            name: _numbers(cells) if name in self._numbers else list(cells)
            for name, cells in columns.items()
        }


def _numbers(cells: tuple[str, ...]) -> Any:
    """Return numbers; texts among them stay texts, so that they are refused by their row."""
    found: list[int | float | str | None] = []
    for cell in cells:
        try:
            found.append(number(cell))
        except ValueError:
            found.append(cell)
    texts = any(isinstance(one, str) for one in found)
    return np.array(found, np.object_) if texts else found


def number(cell: str) -> int | float | None:
    """Return the number that a cell holds, whole where it is written so; None for an empty one.

    :raises ValueError: it holds something else.
    """
    if not cell:
        return None
    return int(cell) if cell.lstrip("+-").isdecimal() else float(cell)
