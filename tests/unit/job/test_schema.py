"""The schema: which one is refused, and for which clause."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chiron_stream.errors import ChironError, JobRefused
from chiron_stream.job.fields import Field, packed_bytes
from chiron_stream.job.schema import (
    CategoryColumn,
    Column,
    LabelColumn,
    NumberColumn,
    Schema,
    TargetColumn,
    TensorColumn,
)
from tests.unit.job.builders import REGRESSION, SCHEMA

LABEL = LabelColumn("y", ("no", "yes"))


def number(**parts: Any) -> NumberColumn:
    usual: dict[str, Any] = {"name": "a", "dtype": "float32", "low": 0.0, "high": 1.0}
    return NumberColumn(**(usual | parts))


def category(**parts: Any) -> CategoryColumn:
    usual: dict[str, Any] = {"name": "a", "values": ("x", "y")}
    return CategoryColumn(**(usual | parts))


def tensor(**parts: Any) -> TensorColumn:
    usual: dict[str, Any] = {"name": "a", "shape": (2,), "dtype": "uint8", "low": 0, "high": 9}
    return TensorColumn(**(usual | parts))


def refused(*columns: Column) -> JobRefused:
    with pytest.raises(JobRefused) as caught:
        Schema(columns)
    assert caught.value.code == "JOB_SCHEMA"
    return caught.value


INFINITE = float("inf")


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("name is empty", number(name="")),
        ("name begins with a digit", number(name="1a")),
        ("name has a space", number(name="a b")),
        ("name has a colon", number(name="a:mask")),
        ("name ends in a line feed", number(name="a\n")),
        ("name is too long", number(name="a" * 65)),
        ("dtype is unknown", number(dtype="float16")),
        ("rule for missing is unknown", number(missing="drop")),
        ("low is not a number", number(low=float("nan"))),
        ("high is infinite", number(high=INFINITE)),
        ("low is high", number(low=1.0)),
        ("low is above high", number(low=2.0)),
        ("bound beyond float32", number(high=1e39)),
        ("bound beyond int32", number(dtype="int32", high=2.0**31)),
        ("bound beyond int64", number(dtype="int64", high=2.0**63)),
        ("bound below uint8", number(dtype="uint8", low=-1.0)),
        ("bound of integers not whole", number(dtype="int32", high=1.5)),
        ("constant where missing is refused", number(constant=0.5)),
        ("constant out of range", number(missing="constant", constant=2.0)),
        ("constant is not a number", number(missing="mask", constant=float("nan"))),
        ("constant of integers not whole", number(dtype="int32", missing="mask", constant=0.5)),
        ("category without values", category(values=())),
        ("category with a doubled value", category(values=("x", "x"))),
        ("category with an empty value", category(values=("x", ""))),
        ("category with a control character", category(values=("x", "\x1b[2J"))),
        ("category with too many values", category(values=tuple(map(str, range(65_537))))),
        ("rule for others is unknown", category(other="drop")),
        ("tensor without dimensions", tensor(shape=())),
        ("tensor with an empty dimension", tensor(shape=(2, 0))),
        ("tensor of too many dimensions", tensor(shape=(1,) * 9)),
        ("tensor too large", tensor(shape=(4096, 4097))),
        ("tensor of another dtype", tensor(dtype="float64")),
        ("tensor out of its dtype", tensor(high=256)),
        ("tensor with falling bounds", tensor(low=9, high=0)),
    ],
)
def test_schema_refuses_a_column_whose(name: str, column: Column) -> None:
    error = refused(column, LABEL)
    assert error.expected


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("one class", LabelColumn("y", ("only",))),
        ("a doubled class", LabelColumn("y", ("a", "a"))),
        ("an unprintable class", LabelColumn("y", ("a", "b\n"))),
        ("an infinite target", TargetColumn("y", -INFINITE, 0)),
        ("a target that is one point", TargetColumn("y", 1, 1)),
    ],
)
def test_schema_refuses_to_learn(name: str, column: Column) -> None:
    assert "'y'" in refused(number(), column).message


def test_schema_refuses_no_columns() -> None:
    assert refused().got == "0"


def test_schema_refuses_too_many_columns() -> None:
    assert refused(*(number(name=f"c{n}") for n in range(1024)), LABEL).got == "1025"


def test_schema_takes_1024_columns() -> None:
    assert Schema((*(number(name=f"c{n}") for n in range(1023)), LABEL)).target is LABEL


def test_schema_refuses_a_doubled_name() -> None:
    assert refused(number(name="y"), LABEL).got == "a doubled name"


def test_schema_refuses_no_label_and_no_target() -> None:
    assert refused(number()).got == "0"


def test_schema_refuses_label_and_target() -> None:
    assert refused(LABEL, TargetColumn("z", 0, 1)).got == "2"


def test_schema_that_unpacks_is_checked() -> None:
    forged = SCHEMA.pack().replace(b"\xa6bucket", b"\xa6bucked")
    assert forged != SCHEMA.pack()
    with pytest.raises(JobRefused, match="site"):
        Schema.unpack(forged)


def test_kinds_name_every_field_with_its_shape() -> None:
    assert SCHEMA.kinds() == {
        "age": ("number", ()),
        "age:mask": ("number", ()),
        "visits": ("number", ()),
        "site": ("category", ()),
        "scan": ("tensor", (2, 3)),
        "outcome": ("label", ()),
    }
    assert REGRESSION.kinds() == {"age": ("number", ()), "days": ("target", ())}


def test_fields_of_queries_lack_what_is_to_be_learnt() -> None:
    assert [field.name for field in REGRESSION.fields("query")] == ["age"]
    assert [field.name for field in REGRESSION.fields("train")] == ["age", "days"]


def test_fields_have_bounds_of_their_codes() -> None:
    fields = {field.name: field for field in SCHEMA.fields("train")}
    assert fields["site"] == Field("site", "category", "int64", (), 0, 2)
    assert fields["outcome"] == Field("outcome", "label", "int64", (), 0, 2)
    assert fields["age:mask"] == Field("age:mask", "number", "uint8", (), 0, 1)


def test_category_that_refuses_others_has_no_bucket() -> None:
    assert category().fields()[0].high == 1


def test_packed_size_counts_header_and_fields() -> None:
    # age 4, mask 1, visits 4, site 8, scan 6, outcome 8
    assert packed_bytes(SCHEMA.fields("train"), 10) == 44 + 10 * 31
    assert packed_bytes(SCHEMA.fields("query"), 1) == 44 + 23


def test_whole_bounds_may_be_written_without_a_fraction() -> None:
    assert NumberColumn("a", "float32", 0, 1) == NumberColumn("a", "float32", 0.0, 1.0)
    assert type(NumberColumn("a", "float32", 0, 1).high) is float


def test_lists_become_tuples() -> None:
    columns: Any = [number(), LABEL]
    values: Any = ["x", "y"]
    assert Schema(columns) == Schema((number(), LABEL))
    assert hash(category(values=values)) == hash(category())


def test_digest_differs_for_another_schema() -> None:
    assert len(SCHEMA.digest) == 32
    assert SCHEMA.digest != REGRESSION.digest
    assert Schema.unpack(SCHEMA.pack()).digest == SCHEMA.digest


names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_.-]{0,9}", fullmatch=True)
texts = st.lists(
    st.text("abcdefgh ij\u00e9", min_size=1, max_size=6), min_size=2, max_size=5, unique=True
).map(tuple)
ranges = st.tuples(st.integers(-1000, 1000), st.integers(1, 1000)).map(lambda r: (r[0], sum(r)))
uint8_ranges = st.tuples(st.integers(0, 100), st.integers(101, 255))
signed = st.builds(
    lambda name, dtype, bounds, missing: NumberColumn(
        name, dtype, bounds[0], bounds[1], missing, 0 if missing == "refuse" else bounds[0]
    ),
    names,
    st.sampled_from(["float32", "float64", "int32", "int64"]),
    ranges,
    st.sampled_from(["refuse", "constant", "mask"]),
)
inputs = (
    signed
    | st.builds(lambda name, bounds: NumberColumn(name, "uint8", *bounds), names, uint8_ranges)
    | st.builds(CategoryColumn, names, texts, st.sampled_from(["refuse", "bucket"]))
    | st.builds(
        lambda name, shape, dtype, bounds: TensorColumn(name, shape, dtype, *bounds),
        names,
        st.lists(st.integers(1, 3), min_size=1, max_size=3).map(tuple),
        st.sampled_from(["float32", "uint8"]),
        uint8_ranges,
    )
)
targets = st.builds(LabelColumn, st.just("target"), texts) | st.builds(
    lambda bounds: TargetColumn("target", *bounds), ranges
)


def with_target(columns: list[Any], target: Any, at: int) -> Schema:
    at %= len(columns) + 1
    return Schema((*columns[:at], target, *columns[at:]))


schemas = st.builds(
    with_target,
    st.lists(
        inputs.filter(lambda one: one.name != "target"),
        max_size=5,
        unique_by=lambda column: column.name,
    ),
    targets,
    st.integers(0, 5),
)


@given(schemas)
def test_schema_unpacks_to_itself(schema: Schema) -> None:
    assert Schema.unpack(schema.pack()) == schema


@given(st.data())
def test_altered_schema_is_refused_or_another(data: st.DataObject) -> None:
    honest = SCHEMA.pack()
    at = data.draw(st.integers(0, len(honest) - 1))
    forged = honest[:at] + bytes([honest[at] ^ data.draw(st.integers(1, 255))]) + honest[at + 1 :]
    with suppress(ChironError):
        assert Schema.unpack(forged) != SCHEMA
