"""Rows as people type them: tensors are JSON lists."""

from __future__ import annotations

import numpy as np
import pytest

from chiron_stream.errors import SchemaMismatch
from chiron_stream.job.rows import prepare_one
from chiron_stream.job.schema import LabelColumn, NumberColumn, Schema, TensorColumn
from chiron_stream.sources.files import read_row

SCHEMA = Schema(
    (
        NumberColumn("age", "float32", 0, 120, "refuse", 0.0),
        TensorColumn("pixels", (2, 2), "uint8", 0, 255),
        LabelColumn("class", ("a", "b")),
    )
)


def test_typed_tensor_is_the_array_that_is_asked_about() -> None:
    row = read_row(["age=61", "pixels=[[0, 255], [7, 1]]"], SCHEMA)
    columns = prepare_one(SCHEMA, row).columns
    assert columns["pixels"].dtype == np.uint8
    assert columns["pixels"].tolist() == [[[0, 255], [7, 1]]]
    assert columns["age"].tolist() == [61.0]


@pytest.mark.parametrize(
    "text",
    ["", "0 255", "[[0, 255], [7]]", '[["a", "b"], ["c", "d"]]', "[[true, false], [true, true]]"],
)
def test_text_that_is_no_tensor_names_the_column_and_not_the_text(text: str) -> None:
    with pytest.raises(SchemaMismatch, match="column 'pixels' is no tensor") as refused:
        read_row(["age=61", f"pixels={text}"], SCHEMA)
    assert "255" not in str(refused.value)


def test_deep_nesting_ends_in_the_same_refusal() -> None:
    with pytest.raises(SchemaMismatch, match="column 'pixels' is no tensor"):
        read_row(["pixels=" + "[" * 100_000], SCHEMA)


@pytest.mark.parametrize("text", ["[0, 1, 2, 3]", "[[0, 256], [0, 0]]", "[[0.5, 0], [0, 0]]"])
def test_tensor_of_another_shape_or_range_is_the_schema_s_to_refuse(text: str) -> None:
    row = read_row(["age=61", f"pixels={text}"], SCHEMA)
    with pytest.raises(SchemaMismatch, match="pixels"):
        prepare_one(SCHEMA, row)
