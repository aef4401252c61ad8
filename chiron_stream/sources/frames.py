"""One batch of rows, of whatever kind, as named columns that the schema's checks take.

Known by what they can do, so that none of their packages is needed: data frames of pandas and
polars (as they are), tables and record batches of pyarrow, lists of rows. A field that a row does
not have is a missing value: the schema says whether it may be.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from chiron_stream.errors import SchemaMismatch
from chiron_stream.job.schema import Schema, TensorColumn

Row = Mapping[str, Any]

_FLOATING: Final = ("halffloat", "float", "double")
"""Names of the types of pyarrow whose missing values numpy can hold."""


def named_columns(batch: Any, schema: Schema) -> Any:
    """Return what :func:`chiron_stream.job.rows.prepare` takes for a batch.

    :param batch: a mapping of names to array-likes, a data frame of pandas, polars or pyarrow, a
        structured array, or a list of rows, each a mapping of names to values.
    :raises SchemaMismatch: a list of something else.
    """
    if hasattr(batch, "column_names"):
        names = _once(batch.column_names, schema)
        return {name: _arrow_column(batch.column(place)) for place, name in enumerate(names)}
    if hasattr(batch, "columns") and hasattr(batch, "__getitem__"):
        tensors = {one.name for one in schema.columns if isinstance(one, TensorColumn)}
        names = _once(list(batch.columns), schema)
        return {name: _frame_column(batch[name], tensor=name in tensors) for name in names}
    if isinstance(batch, Sequence) and not isinstance(batch, str | bytes):
        return columns_of_rows(batch, schema)
    return batch


def has_rows(batch: Any) -> bool:
    """Tell whether there is a row in a batch that :func:`named_columns` returned."""
    if isinstance(batch, Mapping):
        return any(not hasattr(one, "__len__") or len(one) > 0 for one in batch.values())
    return not hasattr(batch, "__len__") or len(batch) > 0


def head(batch: Any, rows: int) -> Any:
    """Return the first rows of a batch that :func:`named_columns` returned."""
    if isinstance(batch, Mapping):
        return {name: column[:rows] for name, column in batch.items()}
    return batch[:rows]


def columns_of_rows(rows: Sequence[Row], schema: Schema) -> dict[str, list[Any]]:
    """Return rows as columns: those of the schema, whether there or not, then all others.

    :raises SchemaMismatch: a row that is no mapping.
    """
    for number, row in enumerate(rows):
        if not isinstance(row, Mapping):
            raise SchemaMismatch(
                f"row {number} (from 0) has no named values",
                expected="a mapping of names to values",
                got=type(row).__name__,
            )
    if not rows:
        return {column.name: [] for column in schema.columns}
    names = dict.fromkeys(column.name for column in schema.columns)
    for row in rows:
        names |= dict.fromkeys(row)
    return {name: [row.get(name) for row in rows] for name in names}


def _once(names: list[Any], schema: Schema) -> list[Any]:
    """Return the names, unless one that the schema has is there twice.

    :raises SchemaMismatch: naming it.
    """
    for column in schema.columns:
        if (count := names.count(column.name)) > 1:
            raise SchemaMismatch(
                f"column {column.name!r}: the data has it twice",
                expected="one column of this name",
                got=str(count),
            )
    return names


def _frame_column(column: Any, *, tensor: bool) -> Any:
    """Return a frame's column; as a list where numpy would lose what it holds.

    That are lists of lists, and whole numbers beside missing ones.
    """
    if not tensor and not _is_whole(column.dtype):
        return column
    array = np.asarray(column)
    lost = array.dtype.kind == "O" if tensor else array.dtype.kind not in "iu"
    return column.to_list() if lost else array


def _is_whole(dtype: Any) -> bool:
    """Tell whether a dtype of pandas or of polars is one of whole numbers."""
    return dtype.is_integer() if hasattr(dtype, "is_integer") else dtype.kind in "iu"


def _arrow_column(column: Any) -> Any:
    """Return a column of pyarrow as an array, its integers exact where some are missing."""
    if hasattr(column, "combine_chunks"):
        column = column.combine_chunks()
    if hasattr(column, "chunks"):  # more than one chunk's worth of bytes
        return [value for chunk in column.chunks for value in chunk.to_pylist()]
    if hasattr(column, "to_numpy_ndarray"):  # tensors of one shape
        return column.to_numpy_ndarray()
    if hasattr(column, "dictionary_decode"):
        column = column.dictionary_decode()
    nested = column.type.num_fields > 0
    floating = str(column.type) in _FLOATING
    if nested or (column.null_count and not floating):
        return column.to_pylist()
    return np.asarray(column)
