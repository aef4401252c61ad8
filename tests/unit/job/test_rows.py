"""Owners' data against the schema: every refusal names column and row, and never a value."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chiron_stream.errors import SchemaMismatch
from chiron_stream.job.columns import find_fault, pack_columns, unpack_columns
from chiron_stream.job.rows import prepare, prepare_one
from chiron_stream.job.schema import (
    CategoryColumn,
    LabelColumn,
    NumberColumn,
    Schema,
    TargetColumn,
    TensorColumn,
)
from tests.unit.job.builders import REGRESSION, SCHEMA

SCANS = np.arange(18).reshape(3, 2, 3)
NAN = float("nan")


class NAType:
    """A data frame's NA: comparing it gives neither true nor false."""

    def __eq__(self, other: object) -> Any:
        return self

    def __hash__(self) -> int:
        return 0

    def __repr__(self) -> str:
        return "<NA>"

    def __bool__(self) -> bool:
        raise TypeError("boolean value of NA is ambiguous")


def data(**parts: Any) -> dict[str, Any]:
    usual = {
        "age": [50.0, 61.5, 7.0],
        "visits": [1, 2, 3],
        "site": ["north", "south", "north"],
        "scan": SCANS,
        "outcome": ["home", "died", "ward"],
    }
    return {name: value for name, value in (usual | parts).items() if value is not None}


def one(column: Any, values: Any) -> Any:
    """Return what becomes of one input column."""
    schema = Schema((column, LabelColumn("y", ("no", "yes"))))
    return prepare(schema, {column.name: values}, purpose="query").columns


def refused(given_data: Any, schema: Schema = SCHEMA) -> SchemaMismatch:
    with pytest.raises(SchemaMismatch) as caught:
        prepare(schema, given_data)
    assert caught.value.code == "SCHEMA"
    return caught.value


def test_mapping_becomes_little_endian_arrays() -> None:
    found = prepare(SCHEMA, data())
    assert (found.rows, found.dropped) == (3, ())
    assert {name: array.dtype.str for name, array in found.columns.items()} == {
        "age": "<f4",
        "age:mask": "|u1",
        "visits": "<i4",
        "site": "<i8",
        "scan": "|u1",
        "outcome": "<i8",
    }
    assert found.columns["site"].tolist() == [0, 1, 0]
    assert found.columns["outcome"].tolist() == [0, 2, 1]
    assert found.columns["scan"].tolist() == SCANS.tolist()


def test_prepared_rows_pack_and_have_no_fault() -> None:
    found = prepare(SCHEMA, data(age=[None, 1, 2]))
    packed = pack_columns(SCHEMA, found.columns, found.rows)
    assert find_fault(SCHEMA, unpack_columns(SCHEMA, packed, purpose="train")[0]) is None


def test_structured_array_is_taken() -> None:
    rows = np.array(
        [(4.0, 2, 9.0), (5.0, 3, 8.0)], dtype=[("age", ">f8"), ("id", "i8"), ("days", "f4")]
    )
    found = prepare(REGRESSION, rows)
    assert found.columns["age"].tolist() == [4, 5]
    assert found.dropped == ("id",)


class Frame:
    """As much of a data frame as is used."""

    def __init__(self, table: dict[str, Any], names: list[Any] | None = None) -> None:
        self.table = table
        self.columns = names or list(table)

    def __getitem__(self, name: str) -> Any:
        return self.table[name]


def test_data_frame_is_taken() -> None:
    found = prepare(SCHEMA, Frame(data(), [*data(), 17]))
    assert found.rows == 3
    assert found.dropped == ("17",)


def test_columns_that_the_schema_lacks_are_dropped_and_listed() -> None:
    found = prepare(SCHEMA, {"name": ["a", "b", "c"], **data(), "ward": [1, 2]})
    assert found.dropped == ("name", "ward")
    assert "name" not in found.columns


def test_query_needs_no_label_and_drops_one() -> None:
    assert prepare(SCHEMA, data(outcome=None), purpose="query").rows == 3
    found = prepare(SCHEMA, data(), purpose="query")
    assert found.dropped == ("outcome",)
    assert "outcome" not in found.columns


def test_one_row_is_a_query() -> None:
    row = {"age": 5, "visits": 1, "site": "north", "scan": SCANS[0]}
    found = prepare_one(SCHEMA, row)
    assert found.rows == 1
    assert found.columns["scan"].shape == (1, 2, 3)


def test_result_is_a_copy() -> None:
    ages = np.array([1, 2, 3], "<f4")
    found = prepare(SCHEMA, data(age=ages))
    ages[:] = -1
    assert found.columns["age"].tolist() == [1, 2, 3]


@given(st.lists(st.floats(width=32), min_size=1, max_size=5))
def test_numbers_of_the_own_dtype_are_judged_as_objects_are(values: list[float]) -> None:
    def outcome(array: Any) -> Any:
        try:
            return one(NumberColumn("age", "float32", 0, 120), array)["age"].tobytes()
        except SchemaMismatch as error:
            return error.message

    assert outcome(np.array(values, "<f4")) == outcome(np.array(values, object))


def test_repr_shows_no_value() -> None:
    shown = repr(prepare(SCHEMA, data(visits=[123, 456, 789], ward=[1, 2, 3])))
    assert shown == (
        "Prepared(rows=3, columns=age age:mask visits site scan outcome, dropped=ward)"
    )


# Columns that are not there, doubled, or of another length


def test_missing_column_is_refused() -> None:
    error = refused(data(site=None))
    assert "'site'" in error.message
    assert error.hint is None


def test_missing_column_has_a_hint_at_a_near_name() -> None:
    assert refused(data(site=None, sites=["a"] * 3)).hint == "rename 'sites' to 'site'"


def test_missing_label_is_refused_in_training() -> None:
    assert "'outcome'" in refused(data(outcome=None)).message


def test_doubled_column_of_a_frame_is_refused() -> None:
    assert "twice" in refused(Frame(data(), ["age", *data()])).message


def test_another_number_of_rows_is_refused() -> None:
    error = refused(data(visits=[1, 2]))
    assert "'visits'" in error.message
    assert (error.expected, error.got) == ("3", "2")


def test_no_rows_are_refused() -> None:
    assert refused({"age": [], "days": []}, REGRESSION).got == "0"


@pytest.mark.parametrize("rows", [[1, 2], np.zeros(3), 7, None, "text"])
def test_rows_without_names_are_refused(rows: Any) -> None:
    assert "named columns" in refused(rows).message


# Shapes


@pytest.mark.parametrize(
    ("name", "column", "value"),
    [
        ("a single number", "age", 5.0),
        ("a matrix for a column", "age", np.zeros((3, 2))),
        ("flat tensors", "scan", np.zeros((3, 6))),
        ("tensors turned", "scan", np.zeros((3, 3, 2))),
        ("ragged lists", "scan", [[[1, 2, 3], [1, 2]]] * 3),
        ("objects of different shapes", "scan", [np.zeros((2, 3)), np.zeros((2, 2)), None]),
        ("lists of texts", "site", [["north"], ["south"], ["north"]]),
    ],
)
def test_another_shape_is_refused(name: str, column: str, value: Any) -> None:
    error = refused(data(**{column: value}))
    assert f"{column!r}: another shape" in error.message
    assert "rows" in str(error.expected)


def test_objects_of_one_shape_become_one_tensor() -> None:
    cells = np.empty(3, object)
    cells[:] = [scan for scan in SCANS]  # noqa: C416  (a list of arrays, not one array)
    assert prepare(SCHEMA, data(scan=cells)).columns["scan"].tolist() == SCANS.tolist()


# Numbers


@pytest.mark.parametrize(
    ("name", "values", "row", "words"),
    [
        ("too large", [1, 2, 121], 2, "out of range"),
        ("too small", [1, -1, 2], 1, "out of range"),
        ("infinite", [np.inf, 1, 2], 0, "out of range"),
        ("too large for the dtype", [1, 1e300, 2], 1, "out of range"),
        ("a text among objects", np.array([1, "x", 2], object), 1, "not a number"),
        ("an object of another type", [1, 2, 3j], None, "not numbers"),
        ("texts", ["1", "2", "3"], None, "not numbers"),
        ("bytes", [b"1", b"2", b"3"], None, "not numbers"),
        ("dates", np.zeros(3, "M8[s]"), None, "not numbers"),
        ("a number beyond doubles", [1, 10**400, 2], 1, "out of range"),
    ],
)
def test_numbers_are_refused(name: str, values: Any, row: int | None, words: str) -> None:
    error = refused(data(age=values))
    where = "column 'age': " if row is None else f"column 'age', row {row} (from 0): "
    assert error.message.startswith(where)
    assert words in error.message


@pytest.mark.parametrize(
    ("name", "values", "row", "words"),
    [
        ("fractions", [1, 2.5, 3], 1, "not a whole number"),
        ("too large", [1, 2, 1001], 2, "out of range"),
        ("infinite", [1, np.inf, 3], 1, "out of range"),
        ("beyond 64 bits", [1, 2**70, 3], 1, "out of range"),
        ("unsigned and large", np.array([1, 2**63 + 5, 3], "u8"), 1, "out of range"),
    ],
)
def test_whole_numbers_are_refused(name: str, values: Any, row: int, words: str) -> None:
    error = refused(data(visits=values))
    assert error.message.startswith(f"column 'visits', row {row} (from 0): ")
    assert words in error.message


@pytest.mark.parametrize(
    "values",
    [
        [1, 2, 3],
        (1.0, 2.0, 3.0),
        np.array([1, 2, 3], ">i2"),
        np.array([1, 2, 3], "u8"),
        np.array([1, 2, 3], "f2"),
        np.array([1, 2, 3], "g"),
        np.array([1, 2.0, np.int8(3)], object),
    ],
    ids=str,
)
def test_whole_numbers_of_any_kind_are_taken(values: Any) -> None:
    assert prepare(SCHEMA, data(visits=values, age=values)).columns["visits"].tolist() == [1, 2, 3]


def test_truth_values_are_numbers() -> None:
    assert one(NumberColumn("a", "uint8", 0, 1), [True, False])["a"].tolist() == [1, 0]


def test_large_whole_numbers_stay_exact() -> None:
    column = NumberColumn("a", "int64", 0, 2**62, "mask", 0)
    values = np.array([2**61 + 1, None, NAN, 3], object)
    assert one(column, values)["a"].tolist() == [2**61 + 1, 0, 0, 3]


def test_bound_that_float32_rounds_is_in_range() -> None:
    column = NumberColumn("a", "float32", -0.1, 0.1)
    assert one(column, np.array([0.1, -0.1]))["a"].tolist() == [np.float32(0.1), np.float32(-0.1)]
    with pytest.raises(SchemaMismatch):
        one(column, [0.1000001])


def test_float32_beyond_a_float64_bound_is_refused_as_the_enclave_would() -> None:
    # The float32 nearest to 0.1 is above it.
    with pytest.raises(SchemaMismatch):
        one(NumberColumn("a", "float64", 0, 0.1), np.array([0.1], "f4"))


# Missing numbers

MISSING = [
    [1.0, NAN, 3.0],
    [1, None, 3],
    np.array([1, NAN, 3], "f2"),
    np.array([1, NAN, 3], "f4"),
    np.array([1, NAType(), 3], object),
    np.array([1.5, np.float32("nan"), 3], object),
]


@pytest.mark.parametrize("values", MISSING, ids=str)
def test_missing_number_is_refused(values: Any) -> None:
    with pytest.raises(SchemaMismatch, match=r"'a', row 1 \(from 0\): a missing value"):
        one(NumberColumn("a", "float32", 0, 10), values)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("values", MISSING, ids=str)
def test_missing_number_becomes_exactly_the_constant_and_is_marked(values: Any, dtype: str) -> None:
    column = NumberColumn("a", dtype, 0, 10, "mask", 0.1)
    found = one(column, values)
    assert found["a"][1] == np.dtype(dtype).type(0.1)
    assert found["a:mask"].tolist() == [0, 1, 0]
    schema = Schema((column, LabelColumn("y", ("no", "yes"))))
    assert find_fault(schema, found, purpose="query") is None


@pytest.mark.parametrize("values", MISSING[:5], ids=str)
def test_missing_whole_number_becomes_the_constant(values: Any) -> None:
    found = one(NumberColumn("a", "int32", 0, 10, "constant", 7), values)
    assert list(found) == ["a"]
    assert found["a"].tolist() == [1, 7, 3]


def test_masked_array_is_refused() -> None:
    masked = np.ma.MaskedArray([1.0, 2.0, 3.0], [False, True, False])
    assert "masked" in refused(data(age=masked)).message


def test_masked_array_without_masked_values_is_taken() -> None:
    assert prepare(SCHEMA, data(age=np.ma.MaskedArray([1.0, 2.0, 3.0]))).rows == 3


def test_missing_value_of_a_tensor_is_refused_by_row() -> None:
    column = TensorColumn("a", (2,), "float32", 0, 1)
    with pytest.raises(SchemaMismatch, match=r"'a', row 1 \(from 0\): a missing value"):
        one(column, [[0.5, 0.5], [0.5, NAN]])
    with pytest.raises(SchemaMismatch, match=r"'a', row 1 \(from 0\): a missing value"):
        one(column, [[0.5, 0.5], [0.5, None]])
    with pytest.raises(SchemaMismatch, match=r"'a', row 2 \(from 0\): not a number"):
        one(column, np.array([[0.5, 0.5], [0.5, 1], ["x", 1]], object))
    with pytest.raises(SchemaMismatch, match=r"'a', row 1 \(from 0\): a value out of range"):
        one(column, [[0.5, 0.5], [0.5, 1.5]])


def test_missing_target_is_refused() -> None:
    assert "missing" in refused({"age": [1.0], "days": [NAN]}, REGRESSION).message


# Categories


def test_unlisted_text_is_refused_without_being_shown() -> None:
    schema = Schema((CategoryColumn("site", ("a", "b")), TargetColumn("y", 0, 1)))
    error = refused({"site": ["a", "secret-ward"], "y": [0, 1]}, schema)
    assert error.message == "column 'site', row 1 (from 0): no such value"
    assert error.expected == "one of the 2 texts of the schema"
    assert error.got == "a value that is not in the list"


@pytest.mark.parametrize("missing", [None, NAN, NAType()], ids=["None", "NaN", "NA"])
def test_missing_text_counts_as_another(missing: Any) -> None:
    values = ["a", missing]
    with pytest.raises(SchemaMismatch, match="row 1"):
        one(CategoryColumn("site", ("a", "nan")), values)
    bucket = CategoryColumn("site", ("a", "nan"), "bucket")
    assert one(bucket, values)["site"].tolist() == [0, 2]
    assert one(bucket, np.array(values, object))["site"].tolist() == [0, 2]


@pytest.mark.parametrize("texts", [["b", "x"], np.array(["b", "x"]), np.array(["b", "x"], object)])
def test_unlisted_text_goes_into_the_bucket(texts: Any) -> None:
    column = CategoryColumn("site", ("a", "b"), "bucket")
    assert one(column, texts)["site"].tolist() == [1, 2]


@pytest.mark.parametrize("value", [3, 2.5, [1], b"a", ("a",)], ids=repr)
def test_other_object_does_not_go_into_the_bucket(value: Any) -> None:
    cells = np.empty(2, object)
    cells[:] = ["a", value]
    with pytest.raises(SchemaMismatch, match=r"row 1 \(from 0\): not a text"):
        one(CategoryColumn("site", ("a", "b"), "bucket"), cells)


def test_numbers_are_no_category() -> None:
    with pytest.raises(SchemaMismatch, match="not texts"):
        one(CategoryColumn("site", ("0", "1")), np.array([0, 1]))


# Labels


@pytest.mark.parametrize(
    "values",
    [
        ["died", "home"],
        [2, 0],
        np.array([2, 0], "u1"),
        np.array([2, np.int16(0)], object),
        np.array(["died", "home"], object),
    ],
    ids=str,
)
def test_label_is_a_class_or_its_code(values: Any) -> None:
    schema = Schema((SCHEMA.target,))
    assert prepare(schema, {"outcome": values}).columns["outcome"].tolist() == [2, 0]


@pytest.mark.parametrize(
    ("name", "values", "words"),
    [
        ("unknown class", ["home", "gone"], "row 1 (from 0): no such value"),
        ("missing class", ["home", None], "row 1 (from 0): no such value"),
        ("code too large", [0, 3], "row 1 (from 0): a code that is not in the list"),
        ("negative code", [-1, 0], "row 0 (from 0): a code that is not in the list"),
        ("huge code", [0, 2**70], "row 1 (from 0): a value out of range"),
        ("fractions", np.array([0.0, 1.0]), "not texts"),
        ("classes and codes", ["home", 1], "row 1 (from 0): not a text"),
    ],
)
def test_label_is_refused(name: str, values: Any, words: str) -> None:
    error = refused({"outcome": values}, Schema((SCHEMA.target,)))
    assert words in error.message
    assert "gone" not in str(error)


def test_codes_that_could_mean_two_classes_are_refused() -> None:
    schema = Schema((LabelColumn("y", ("1", "2", "3")),))
    assert "could mean" in refused({"y": [1, 2]}, schema).message
    assert prepare(schema, {"y": ["1", "2"]}).columns["y"].tolist() == [0, 1]
    digits = Schema((LabelColumn("y", ("0", "1", "2")),))
    assert prepare(digits, {"y": [1, 2]}).columns["y"].tolist() == [1, 2]


# All of it


def test_first_column_of_the_schema_is_blamed() -> None:
    assert "'age'" in refused(data(visits=[-1, -1, -1], age=[-1, -1, -1])).message


@pytest.mark.parametrize("column", ["age", "visits", "scan", "outcome"])
def test_refusal_shows_no_value(column: str) -> None:
    shape = (3, 2, 3) if column == "scan" else 3
    error = refused(data(**{column: np.full(shape, 987_654)}))
    assert not any("987" in text for text in error.diagnostics().values())


cells = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | st.binary()


@given(
    st.lists(cells, min_size=1, max_size=4),
    st.sampled_from([column for column in SCHEMA.columns if column.name != "scan"]),
)
def test_whatever_is_accepted_has_no_fault(values: list[Any], column: Any) -> None:
    target = SCHEMA.target
    schema = Schema((column,) if column is target else (column, target))
    try:
        found = prepare(
            schema, {column.name: values, "outcome": [0] * len(values)} | {column.name: values}
        )
    except SchemaMismatch:
        return
    packed = pack_columns(schema, found.columns, found.rows)
    assert find_fault(schema, unpack_columns(schema, packed, purpose="train")[0]) is None
