"""Tables from files: CSV with a header line, and NumPy's ``.npz``.

Cells of a CSV file are texts: the job's schema says which columns are numbers. Nothing else is
guessed; an empty cell of a number column is a missing value.
"""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from chiron_stream.errors import SchemaMismatch, UsageRefused
from chiron_stream.job.schema import NumberColumn, Schema, TargetColumn, TensorColumn

Table = dict[str, Any]


def read_table(path: Path, schema: Schema) -> Table:
    """Return the columns of a file, by name.

    :raises UsageRefused: another kind of file, or none.
    :raises SchemaMismatch: a cell that is no number; names line and column, never the cell.
    """
    readers = {".csv": _read_csv, ".npz": _read_npz}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise UsageRefused(
            f"cannot read {path.name}", expected="a .csv or .npz file", got=path.suffix or "none"
        )
    if not path.is_file():
        raise UsageRefused(f"there is no file {path}")
    return reader(path, schema)


def _read_npz(path: Path, _schema: Schema) -> Table:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (ValueError, OSError, zipfile.BadZipFile) as error:
        raise UsageRefused(
            f"{path.name} does not read", expected=".npz of plain arrays", got=type(error).__name__
        ) from error


def _read_csv(path: Path, schema: Schema) -> Table:
    with path.open(newline="", encoding="utf-8") as lines:
        rows = csv.reader(lines)
        names = next(rows, None)
        if names is None:
            raise SchemaMismatch(f"{path.name} is empty; nothing was sealed", code="NO_ROWS")
        cells = _cells(path, names, rows)
    numbers = {one.name for one in schema.columns if isinstance(one, NumberColumn | TargetColumn)}
    tensors = [one.name for one in schema.columns if isinstance(one, TensorColumn)]
    if found := [name for name in tensors if name in names]:
        raise SchemaMismatch(
            f"the column {found[0]!r} is a tensor, which CSV cannot hold", hint="use .npz"
        )
    return {
        name: _numbers(name, column) if name in numbers else column
        for name, column in cells.items()
    }


def _cells(path: Path, names: list[str], rows: Any) -> dict[str, list[str]]:
    if doubled := [name for name in dict.fromkeys(names) if names.count(name) > 1]:
        raise SchemaMismatch(
            f"column {doubled[0]!r}: the data has it twice",
            expected="one column of this name",
            got=str(names.count(doubled[0])),
        )
    columns: list[list[str]] = [[] for _ in names]
    for row in rows:
        if len(row) != len(names):
            raise SchemaMismatch(
                f"line {rows.line_num} of {path.name} has another number of cells; "
                "nothing was sealed",
                expected=str(len(names)),
                got=str(len(row)),
            )
        for column, cell in zip(columns, row, strict=True):
            column.append(cell)
    return dict(zip(names, columns, strict=True))


def _numbers(name: str, cells: list[str]) -> Any:
    made = np.empty(len(cells), np.float64)
    for row, cell in enumerate(cells):
        try:
            made[row] = float(cell) if cell else np.nan
        except ValueError:
            raise SchemaMismatch(
                f"row {row}, column {name!r} is no number; nothing was sealed (rows count from 0)",
                expected="a number",
                got="another text",
            ) from None
    return made


def read_row(words: list[str], schema: Schema) -> Mapping[str, Any]:
    """Return one row of ``name=value`` words.

    :raises UsageRefused: a word of another form.
    :raises SchemaMismatch: a number column with something else.
    """
    row: dict[str, Any] = {}
    numbers = {one.name for one in schema.columns if isinstance(one, NumberColumn)}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals or not name:
            raise UsageRefused("a row is written name=value", got=repr(name[:40]))
        row[name] = float(_numbers(name, [text])[0]) if name in numbers else text
    return row
