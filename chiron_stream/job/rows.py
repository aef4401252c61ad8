"""The owner's and the client's side of the schema: their data, checked and in one form.

>>> from chiron_stream.job.schema import LabelColumn, NumberColumn, Schema
>>> schema = Schema((NumberColumn("age", "float32", 0, 120), LabelColumn("y", ("no", "yes"))))
>>> prepare(schema, {"age": [50, 61.5], "y": ["no", "yes"], "ward": [3, 4]})
Prepared(rows=2, columns=age y, dropped=ward)

Rows are counted from 0. A refusal names column, row and the kind of defect, never a value.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from chiron_stream.errors import SchemaMismatch
from chiron_stream.job import values
from chiron_stream.job.columns import Array
from chiron_stream.job.fields import MAX_ROWS, Purpose
from chiron_stream.job.schema import (
    CategoryColumn,
    Column,
    LabelColumn,
    NumberColumn,
    Schema,
)


@dataclass(frozen=True, eq=False)
class Prepared:
    """Rows that the schema accepts: one little-endian array for each field, each a copy.

    ``dropped`` names the columns of the data that the schema does not have, or that a query does
    not need; they are not in ``columns``.
    """

    columns: dict[str, Array]
    rows: int
    dropped: tuple[str, ...]

    def __repr__(self) -> str:
        """Show counts and names: the values are plaintext."""
        names = " ".join(self.columns)
        dropped = " ".join(self.dropped) or "none"
        return f"Prepared(rows={self.rows}, columns={names}, dropped={dropped})"


def prepare(schema: Schema, data: Any, *, purpose: Purpose = "train") -> Prepared:
    """Return the rows of ``data`` in the form that the schema packs.

    :param data: a mapping of names to array-likes, a data frame, or a structured array.
    :param purpose: ``"train"``, with label or target; or ``"query"``, without.
    :raises SchemaMismatch: the first column, in the schema's order, that the schema refuses, and
        the first row to blame.
    """
    names, get = _source(data)
    wanted = [one for one in schema.columns if purpose == "train" or one is not schema.target]
    columns: dict[str, Array] = {}
    rows: int | None = None
    for column in wanted:
        _check_there(column.name, names, schema)
        array = _array(column, get(column.name))
        rows = len(array) if rows is None else rows
        _check_rows(column.name, array, rows)
        columns.update(_normalised(column, array))
    kept = {column.name for column in wanted}
    dropped = tuple(str(name) for name in names if name not in kept)
    return Prepared(columns, rows or 0, dropped)


def prepare_one(schema: Schema, row: Mapping[str, Any]) -> Prepared:
    """Return one row to query, given as a value for each column.

    :raises SchemaMismatch: as :func:`prepare`.
    """
    return prepare(schema, {name: [value] for name, value in row.items()}, purpose="query")


def _source(data: Any) -> tuple[list[Any], Callable[[str], Any]]:
    if isinstance(data, np.ndarray) and data.dtype.names is not None:
        return list(data.dtype.names), lambda name: data[name]
    if isinstance(data, Mapping):
        return list(data), lambda name: data[name]
    if hasattr(data, "columns") and hasattr(data, "__getitem__"):
        return list(data.columns), lambda name: data[name]
    raise SchemaMismatch(
        "rows come in named columns",
        expected="a mapping of names to arrays, a data frame or a structured array",
        got=type(data).__name__,
    )


def _check_there(name: str, names: list[Any], schema: Schema) -> None:
    count = names.count(name)
    if count == 1:
        return
    what = "the data has it twice" if count else "the data does not have it"
    known = {column.name for column in schema.columns}
    strange = [one for one in names if isinstance(one, str) and one not in known]
    near = difflib.get_close_matches(name, strange, 1)
    raise values.mismatch(
        name,
        None,
        what,
        expected="one column of this name",
        got=str(count),
        hint=f"rename {near[0]!r} to {name!r}" if near and not count else None,
    )


def _array(column: Column, given: Any) -> Array:
    """Return a column as an array of shape (rows, ...); objects of arrays become one array."""
    shape = column.fields()[0].shape
    if isinstance(given, np.ma.MaskedArray) and np.ma.is_masked(given):
        raise values.mismatch(
            column.name,
            None,
            "a masked array hides what stands behind its mask",
            expected="a plain array, NaN or None where values are missing",
            got="a masked array",
        )
    try:
        # Texts beside None or NaN in a list would all become texts.
        texts = isinstance(column, CategoryColumn | LabelColumn)
        kept = texts and isinstance(given, list | tuple)
        array = np.asarray(given, dtype=np.object_ if kept else None)
        if array.dtype.kind == "O" and array.ndim == 1 and shape and len(array):
            array = np.stack([np.asarray(one) for one in array])
    except ValueError:
        raise _other_shape(column.name, shape, "rows of different shapes") from None
    if array.ndim == 0 or array.shape[1:] != shape:
        raise _other_shape(column.name, shape, f"shape {array.shape}")
    return array


def _other_shape(name: str, shape: tuple[int, ...], got: str) -> SchemaMismatch:
    expected = f"shape ({', '.join(map(str, ('rows', *shape)))})"
    return values.mismatch(name, None, "another shape", expected=expected, got=got)


def _check_rows(name: str, array: Array, rows: int) -> None:
    if len(array) != rows:
        what = "another number of rows than the columns before"
        raise values.mismatch(name, None, what, expected=str(rows), got=str(len(array)))
    if not 1 <= rows <= MAX_ROWS:
        what = "no such number of rows"
        raise values.mismatch(name, None, what, expected=f"1 to {MAX_ROWS}", got=str(rows))


def _normalised(column: Column, array: Array) -> dict[str, Array]:
    field = column.fields()[0]
    if isinstance(column, NumberColumn):
        return _numbers(column, array)
    if isinstance(column, CategoryColumn):
        other = len(column.values) if column.other == "bucket" else None
        return {column.name: values.codes(field, array, column.values, other)}
    if isinstance(column, LabelColumn):
        return {column.name: values.labels(field, array, column.classes)}
    return {column.name: values.numbers(field, array, None)[0]}


def _numbers(column: NumberColumn, array: Array) -> dict[str, Array]:
    fields = column.fields()
    fill = None if column.missing == "refuse" else column.constant
    found, absent = values.numbers(fields[0], array, fill)
    result = {column.name: found}
    if column.missing == "mask":
        result[fields[1].name] = absent.astype(np.uint8)
    return result
