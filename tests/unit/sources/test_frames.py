"""Batches of every kind come to the same prepared rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from chiron_stream.errors import SchemaMismatch
from chiron_stream.job.rows import Prepared, prepare
from chiron_stream.job.schema import (
    CategoryColumn,
    LabelColumn,
    NumberColumn,
    Schema,
    TensorColumn,
)
from chiron_stream.sources.frames import has_rows, named_columns

BIG = 2**53 + 1
SCHEMA = Schema(
    (
        NumberColumn("age", "float32", 0, 120, "mask"),
        NumberColumn("id", "int64", 0, 2.0**60, "constant", 7.0),
        CategoryColumn("site", ("a", "b"), "bucket"),
        TensorColumn("scan", (2, 2), "float32", 0, 9),
        LabelColumn("y", ("no", "yes")),
    )
)
ROWS: list[dict[str, Any]] = [
    {"age": 50.5, "id": BIG, "site": "a", "scan": [[1, 2], [3, 4]], "y": "no", "ward": 1},
    {"age": None, "id": None, "site": None, "scan": [[5, 6], [7, 8]], "y": "yes", "ward": 2},
    {"age": 7.0, "id": 3, "site": "b", "scan": [[0, 0], [0, 9]], "y": "no", "ward": 3},
]
WANTED = {
    "age": [50.5, 0.0, 7.0],
    "age:mask": [0, 1, 0],
    "id": [BIG, 7, 3],
    "site": [0, 2, 1],
    "scan": [row["scan"] for row in ROWS],
    "y": [0, 1, 0],
}


def columns() -> dict[str, list[Any]]:
    return {name: [row[name] for row in ROWS] for name in ROWS[0]}


def pandas_frame() -> Any:
    pandas = pytest.importorskip("pandas")
    return pandas.DataFrame({**columns(), "id": pandas.array(columns()["id"], dtype="Int64")})


def polars_frame() -> Any:
    return pytest.importorskip("polars").DataFrame(ROWS)


KINDS: dict[str, Callable[[], Any]] = {
    "mapping": columns,
    "rows": lambda: ROWS,
    "rows without a name": lambda: [
        {name: value for name, value in row.items() if value is not None} for row in ROWS
    ],
    "arrow table": lambda: pa.Table.from_pylist(ROWS),
    "arrow table of chunks": lambda: pa.concat_tables(
        [pa.Table.from_pylist(ROWS[:1]), pa.Table.from_pylist(ROWS[1:])], promote_options="default"
    ),
    "arrow batch": lambda: pa.RecordBatch.from_pylist(ROWS),
    "arrow dictionary": lambda: pa.Table.from_pylist(ROWS).set_column(
        2, "site", pa.array([row["site"] for row in ROWS]).dictionary_encode()
    ),
    "arrow tensors": lambda: pa.Table.from_pylist(ROWS).set_column(
        3,
        "scan",
        pa.FixedShapeTensorArray.from_numpy_ndarray(
            np.array([row["scan"] for row in ROWS], np.float32)
        ),
    ),
    "pandas": pandas_frame,
    "polars": polars_frame,
}


def prepared(batch: Any) -> Prepared:
    return prepare(SCHEMA, named_columns(batch, SCHEMA))


@pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
def test_batch_of_any_kind_comes_to_the_same_rows(make: Callable[[], Any]) -> None:
    found = prepared(make())
    assert {name: array.tolist() for name, array in found.columns.items()} == WANTED
    assert found.dropped == ("ward",)
    assert has_rows(named_columns(make(), SCHEMA))


@pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
def test_batch_without_rows_has_none(make: Callable[[], Any]) -> None:
    batch = make()
    empty = {name: [] for name in batch} if isinstance(batch, dict) else batch[:0]
    assert not has_rows(named_columns(empty, SCHEMA))


def test_column_that_is_in_no_row_is_missing_in_each() -> None:
    rows = [{name: row[name] for name in row if name != "age"} for row in ROWS]
    assert prepared(rows).columns["age:mask"].tolist() == [1, 1, 1]
    without = [{name: row[name] for name in row if name != "y"} for row in ROWS]
    with pytest.raises(SchemaMismatch, match=r"column 'y', row 0 \(from 0\)"):
        prepared(without)


def test_list_of_something_else_than_rows_is_refused() -> None:
    with pytest.raises(SchemaMismatch, match=r"row 1 \(from 0\) has no named values") as refused:
        named_columns([ROWS[0], "secret"], SCHEMA)
    assert refused.value.got == "str"
    assert "secret" not in str(refused.value)


def test_arrow_column_that_is_there_twice_is_refused() -> None:
    table = pa.table([[1], [2]], names=["age", "age"])
    with pytest.raises(SchemaMismatch, match="column 'age': the data has it twice"):
        named_columns(table, SCHEMA)
