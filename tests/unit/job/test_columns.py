"""Packed rows: one layout, nothing else reads, and content is judged by the schema alone."""

from __future__ import annotations

import struct
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chiron_stream.errors import ChironError, SchemaMismatch
from chiron_stream.job.columns import (
    Array,
    find_fault,
    pack_columns,
    unpack_columns,
    wire_dtype,
)
from chiron_stream.job.fields import Field, Purpose
from chiron_stream.job.schema import Schema, TargetColumn, TensorColumn
from chiron_stream.wire.canonical import EncodingRefused
from tests.unit.job.builders import REGRESSION, SCHEMA
from tests.unit.job.test_schema import schemas

PURPOSES: list[Purpose] = ["train", "query"]


def columns(rows: int = 3) -> dict[str, Array]:
    """Return valid columns of the usual schema."""
    return {
        "age": np.full(rows, 50, "<f4"),
        "age:mask": np.ones(rows, "u1"),
        "visits": np.arange(rows, dtype="<i4"),
        "site": np.full(rows, 2, "<i8"),
        "scan": np.arange(rows * 6, dtype="u1").reshape(rows, 2, 3),
        "outcome": np.full(rows, 1, "<i8"),
    }


def packed(purpose: Purpose = "train", **parts: Array) -> bytes:
    return pack_columns(SCHEMA, columns() | parts, 3, purpose=purpose)


def test_layout_is_the_documented_one() -> None:
    by_hand = b"CHRW" + bytes([1, 1, 0, 0]) + struct.pack("<I", 3) + SCHEMA.digest
    by_hand += struct.pack("<3f", 50, 50, 50) + b"\x01\x01\x01"
    by_hand += struct.pack("<3i", 0, 1, 2) + struct.pack("<3q", 2, 2, 2)
    by_hand += bytes(range(18)) + struct.pack("<3q", 1, 1, 1)
    assert packed() == by_hand


def test_layout_of_a_query_has_no_label() -> None:
    assert packed("query")[44:] == packed()[44:-24]
    assert packed("query")[5] == 2


@pytest.mark.parametrize("purpose", PURPOSES)
def test_unpack_returns_what_was_packed(purpose: Purpose) -> None:
    found, rows = unpack_columns(SCHEMA, packed(purpose), purpose=purpose)
    assert rows == 3
    assert list(found) == [field.name for field in SCHEMA.fields(purpose)]
    for name, array in found.items():
        assert np.array_equal(array, columns()[name])
        assert array.dtype == columns()[name].dtype


def test_unpacked_arrays_are_aligned_and_writable() -> None:
    found, _ = unpack_columns(SCHEMA, packed(), purpose="train")
    assert all(array.flags.aligned and array.flags.writeable for array in found.values())


def test_slices_of_columns_pack() -> None:
    part = {name: array[1:3] for name, array in columns().items()}
    found, rows = unpack_columns(SCHEMA, pack_columns(SCHEMA, part, 2), purpose="train")
    assert rows == 2
    assert found["visits"].tolist() == [1, 2]


def test_strided_columns_pack_in_c_order() -> None:
    turned = np.asfortranarray(columns()["scan"])
    assert packed(scan=turned) == packed()


HEADER = [
    ("magic", 0, b"CHRX"),
    ("version", 4, b"\x02"),
    ("purpose", 5, b"\x02"),
    ("an unknown purpose", 5, b"\x03"),
    ("zeros", 6, b"\x01"),
    ("no rows", 8, struct.pack("<I", 0)),
    ("more rows than there are", 8, struct.pack("<I", 4)),
    ("fewer rows than there are", 8, struct.pack("<I", 2)),
    ("more rows than may be", 8, struct.pack("<I", 2**29)),
    ("the most rows of a header", 8, b"\xff\xff\xff\xff"),
    ("digest", 12, bytes(32)),
]


@pytest.mark.parametrize(("name", "at", "other"), HEADER)
def test_unpack_refuses_another(name: str, at: int, other: bytes) -> None:
    honest = packed()
    with pytest.raises(EncodingRefused) as refused:
        unpack_columns(SCHEMA, honest[:at] + other + honest[at + len(other) :], purpose="train")
    assert refused.value.code == "ROWS_FORMAT"


@pytest.mark.parametrize("length", [0, 1, 43, 44, 45, 136])
def test_unpack_refuses_cut_bytes(length: int) -> None:
    assert length < len(packed())
    with pytest.raises(EncodingRefused):
        unpack_columns(SCHEMA, packed()[:length], purpose="train")


def test_unpack_refuses_a_trailing_byte() -> None:
    with pytest.raises(EncodingRefused):
        unpack_columns(SCHEMA, packed() + b"\0", purpose="train")


def test_unpack_refuses_a_query_as_rows_to_learn_from() -> None:
    with pytest.raises(EncodingRefused):
        unpack_columns(SCHEMA, packed("query"), purpose="train")


def test_unpack_refuses_rows_of_another_schema() -> None:
    with pytest.raises(EncodingRefused, match="digest"):
        unpack_columns(REGRESSION, packed(), purpose="train")


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(EncodingRefused):
        unpack_columns(SCHEMA, data, purpose="train")


@given(st.integers(0, len(packed()) - 1), st.integers(1, 255))
def test_altered_bytes_are_refused_or_other_values(at: int, change: int) -> None:
    honest = packed()
    forged = honest[:at] + bytes([honest[at] ^ change]) + honest[at + 1 :]
    with suppress(ChironError):
        found, rows = unpack_columns(SCHEMA, forged, purpose="train")
        assert at >= 44
        assert pack_columns(SCHEMA, found, rows) == forged
        find_fault(SCHEMA, found)


def values(field: Field, rows: int) -> st.SearchStrategy[Array]:
    """Return arrays of any bits: what an owner could have sealed."""
    shape, dtype = (rows, *field.shape), wire_dtype(field)
    size = int(np.prod(shape)) * dtype.itemsize
    return st.binary(min_size=size, max_size=size).map(
        lambda data: np.frombuffer(data, dtype).reshape(shape)
    )


@given(st.data(), schemas, st.integers(1, 4), st.sampled_from(PURPOSES))
def test_any_bits_survive_packing_and_are_judged(
    data: st.DataObject, schema: Schema, rows: int, purpose: Purpose
) -> None:
    fields = schema.fields(purpose)
    if not fields:
        return
    given_columns = {field.name: data.draw(values(field, rows)) for field in fields}
    found, count = unpack_columns(
        schema, pack_columns(schema, given_columns, rows, purpose=purpose), purpose=purpose
    )
    assert count == rows
    assert all(found[name].tobytes() == given_columns[name].tobytes() for name in found)
    fault = find_fault(schema, found, purpose=purpose)
    inside = all(
        field.low <= value <= field.high
        for field in fields
        for value in found[field.name].astype(object).reshape(-1)
    )
    if fault is None:
        assert inside


@pytest.mark.parametrize(
    ("name", "parts", "rows"),
    [
        ("a field is missing", {"age": None}, 3),
        ("another dtype", {"age": np.zeros(3, "<f8")}, 3),
        ("big-endian numbers", {"age": np.zeros(3, ">f4")}, 3),
        ("another number of rows", {"age": np.zeros(2, "<f4")}, 3),
        ("another shape", {"scan": np.zeros((3, 3, 2), "u1")}, 3),
        ("no rows", {}, 0),
        ("too many rows", {}, 2**29),
    ],
)
def test_pack_refuses(name: str, parts: dict[str, Any], rows: int) -> None:
    given_columns = {k: v for k, v in (columns() | parts).items() if v is not None}
    with pytest.raises(SchemaMismatch):
        pack_columns(SCHEMA, given_columns, rows)


def test_valid_columns_have_no_fault() -> None:
    assert find_fault(SCHEMA, columns()) is None


def test_valid_query_has_no_fault() -> None:
    found, _ = unpack_columns(SCHEMA, packed("query"), purpose="query")
    assert find_fault(SCHEMA, found, purpose="query") is None


FAULTS: list[tuple[str, Any, str]] = [
    ("age", np.nan, "not a number"),
    ("age", np.inf, "a value out of range"),
    ("age", -np.inf, "a value out of range"),
    ("age", 120.00001, "a value out of range"),
    ("age", -1e-30, "a value out of range"),
    ("age:mask", 2, "a value out of range"),
    ("visits", 1001, "a value out of range"),
    ("visits", -1, "a value out of range"),
    ("site", 3, "a code that is not in the list"),
    ("site", -1, "a code that is not in the list"),
    ("outcome", 3, "a code that is not in the list"),
    ("outcome", -(2**63), "a code that is not in the list"),
]


@pytest.mark.parametrize(("name", "value", "words"), FAULTS)
def test_fault_names_column_row_and_defect(name: str, value: Any, words: str) -> None:
    bad = columns()
    bad[name][1] = value
    assert find_fault(SCHEMA, bad) == f"column {name!r}, row 1: {words}"


def test_fault_of_a_mark_without_the_constant() -> None:
    bad = columns()
    bad["age"][2] = 51
    assert find_fault(SCHEMA, bad) == "column 'age', row 2: marked missing, and not the constant"


def test_mark_may_be_absent_where_the_value_is_the_constant() -> None:
    good = columns()
    good["age:mask"][:] = 0
    assert find_fault(SCHEMA, good) is None


def test_fault_in_a_tensor_names_the_row() -> None:
    schema = Schema((TensorColumn("scan", (2, 2), "float32", 0, 1), TargetColumn("y", 0, 1)))
    bad = {"scan": np.zeros((3, 2, 2), "<f4"), "y": np.zeros(3, "<f4")}
    assert find_fault(schema, bad) is None
    bad["scan"][2, 0, 1] = np.nan
    assert find_fault(schema, bad) == "column 'scan', row 2: not a number"


def test_fault_in_a_target_names_the_row() -> None:
    bad = unpack_columns(REGRESSION, regression(0.0, 0.0), purpose="train")[0]
    assert find_fault(REGRESSION, bad) is None
    bad["days"][1] = np.nan
    assert find_fault(REGRESSION, bad) == "column 'days', row 1: not a number"


def regression(*days: float) -> bytes:
    rows = len(days)
    columns = {"age": np.zeros(rows, "<f4"), "days": np.array(days, "<f4")}
    return pack_columns(REGRESSION, columns, rows)


def test_first_fault_in_the_order_of_the_schema_is_told() -> None:
    bad = columns()
    bad["visits"][0] = -1
    bad["age"][2] = 200
    assert find_fault(SCHEMA, bad) == "column 'age', row 2: a value out of range"


def test_fault_shows_no_value() -> None:
    bad = columns()
    bad["visits"][0] = 123_456
    assert "123" not in str(find_fault(SCHEMA, bad))
