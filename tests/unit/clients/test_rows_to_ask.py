"""Rows to ask about, from CSV and JSON lines: as they come, refused by line, no cell shown."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator

import pytest

from chiron_stream.errors import ChironError, SchemaMismatch, UsageRefused
from chiron_stream.job.schema import CategoryColumn, LabelColumn, NumberColumn, Schema, TensorColumn
from chiron_stream.sources.rows import Row, read_rows

SCHEMA = Schema(
    (
        NumberColumn("age", "float32", 0, 120),
        CategoryColumn("ward", ("a", "b")),
        TensorColumn("image", (2,), "float32", 0, 1),
        LabelColumn("ill", ("no", "yes")),
    )
)


def csv_rows(text: str) -> list[Row]:
    return list(read_rows("rows.csv", io.StringIO(text, newline=""), "csv", SCHEMA))


def json_rows(text: str) -> list[Row]:
    return list(read_rows("rows.jsonl", io.StringIO(text), "jsonl", SCHEMA))


def test_csv_has_numbers_where_the_schema_says_so() -> None:
    rows = csv_rows("age,ward,bed\r\n61,a,7\r\n\r\n48.5,b,8\r\n")
    assert rows == [
        Row(2, {"age": 61.0, "ward": "a", "bed": "7"}),
        Row(4, {"age": 48.5, "ward": "b", "bed": "8"}),
    ]


def test_empty_number_of_csv_is_missing() -> None:
    (row,) = csv_rows("age,ward\n,a\n")
    assert math.isnan(row.cells["age"])


def test_csv_without_rows_has_none() -> None:
    assert csv_rows("") == csv_rows("age,ward\n") == []


def test_json_lines_are_taken_as_they_are() -> None:
    rows = json_rows('{"age": 61, "image": [0, 1]}\n\n{"age": null, "ward": "b"}')
    assert rows == [
        Row(1, {"age": 61, "image": [0, 1]}),
        Row(3, {"age": None, "ward": "b"}),
    ]


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_row_comes_before_the_next_line_is_there(kind: str) -> None:
    def typed() -> Iterator[str]:
        if kind == "csv":
            yield "age,ward\n"
        yield "61,a\n" if kind == "csv" else '{"age": 61}\n'
        raise AssertionError("the next line was waited for")

    rows = read_rows("-", typed(), kind, SCHEMA)  # type: ignore[arg-type]
    assert next(rows).cells["age"] == 61


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("age,ward\n61\n", "line 2 of rows.csv: another number of cells"),
        ("age,ward\n61,a\nsecret,a\n", "line 3 of rows.csv: column 'age' is no number"),
        ("age,age\n1,2\n", "column 'age': rows.csv has it twice"),
        ("age,image\n1,2\n", "the column 'image' is a tensor"),
    ],
    ids=["ragged", "text", "twice", "tensor"],
)
def test_csv_that_is_wrong_is_refused_by_line(text: str, words: str) -> None:
    with pytest.raises(SchemaMismatch) as refused:
        csv_rows(text)
    assert words in refused.value.message
    assert "secret" not in str(refused.value.diagnostics())


@pytest.mark.parametrize(
    "line",
    ["secret", "[1, 2]", "61", '{"age": 1, "age": 2}', '{"age": 1', "[" * 100_000, '{"age": 1} x'],
    ids=["text", "list", "number", "twice", "cut", "deep", "more"],
)
def test_line_that_is_no_row_is_refused(line: str) -> None:
    with pytest.raises(SchemaMismatch) as refused:
        json_rows('{"age": 1}\n' + line)
    assert refused.value.message == "line 2 of rows.jsonl: no row; it was not sent"
    assert "secret" not in str(refused.value.diagnostics())


@pytest.mark.parametrize(
    ("kind", "data"),
    [("csv", b"age,ward\n\xff,a\n"), ("jsonl", b"\xff\n"), ("csv", b"age\n" + b"x" * 200_000)],
    ids=["csv bytes", "json bytes", "long cell"],
)
def test_text_that_does_not_read_is_refused(kind: str, data: bytes) -> None:
    lines = io.TextIOWrapper(io.BytesIO(data), encoding="utf-8", newline="")
    with pytest.raises(ChironError) as refused:
        list(read_rows("rows", lines, kind, SCHEMA))  # type: ignore[arg-type]
    assert isinstance(refused.value, UsageRefused)
    assert refused.value.message == "rows does not read"
