"""The codec of documents: each field type, each bound, each way not to be a document."""

from __future__ import annotations

import doctest
from dataclasses import dataclass
from enum import IntEnum
from typing import Annotated, Any, ClassVar

import pytest

from chiron_stream.errors import ChironError
from chiron_stream.wire import document
from chiron_stream.wire.canonical import EncodingRefused, decode, encode
from chiron_stream.wire.document import (
    Document,
    Limit,
    Name,
    Range,
    Signed,
    Size,
    from_map,
    kind_of,
    union,
)


class Colour(IntEnum):
    RED = 1
    BLUE = 2


@dataclass(frozen=True)
class Leaf(Document):
    KIND: ClassVar[int] = 61_001
    number: int


@dataclass(frozen=True)
class OtherLeaf(Document):
    KIND: ClassVar[int] = 61_002
    number: int


@dataclass(frozen=True)
class One(Document):
    """Of kind 1, which True and 1.0 equal."""

    KIND: ClassVar[int] = 1
    number: int


@dataclass(frozen=True)
class Every(Document):
    KIND: ClassVar[int] = 61_003
    number: int
    small: Annotated[int, Range(3, 9)]
    signed: Signed
    truth: bool
    real: float
    name: Name
    raw: Annotated[bytes, Limit(4)]
    exact: Annotated[bytes, Size(4)]
    colour: Colour
    leaf: Leaf
    either: Leaf | OtherLeaf
    perhaps: Leaf | OtherLeaf | None
    optional: int | None
    few: Annotated[tuple[int, ...], Limit(2)]
    nested: tuple[tuple[Leaf, ...], ...]
    table: dict[int, bytes]


GOOD: dict[str, Any] = {
    "number": 7,
    "small": 3,
    "signed": -1,
    "truth": True,
    "real": 0.5,
    "name": "icu",
    "raw": b"abcd",
    "exact": b"abcd",
    "colour": Colour.BLUE,
    "leaf": Leaf(1),
    "either": OtherLeaf(1),
    "perhaps": None,
    "optional": None,
    "few": (1, 2),
    "nested": ((Leaf(1),), ()),
    "table": {300: b"a", 2: b"b"},
}
PLACE = {name: number for number, name in enumerate(GOOD, 1)}


def test_document_comes_back_from_its_bytes() -> None:
    assert Every.unpack(Every(**GOOD).pack()) == Every(**GOOD)


def test_fields_are_numbered_from_one_in_their_order_and_zero_is_the_kind() -> None:
    table = decode(Every(**GOOD).pack())
    assert list(table) == list(range(len(GOOD) + 1))
    assert table[0] == 61_003
    assert table[PLACE["leaf"]] == {0: 61_001, 1: 1}
    assert table[PLACE["colour"]] == 2


def test_table_is_a_list_of_pairs_in_the_order_of_their_encoded_keys() -> None:
    table = decode(Every(**GOOD).pack())
    assert table[PLACE["table"]] == [[2, b"b"], [300, b"a"]]


# On the wire, and in the field: the same values are refused on both ways.
BAD: list[tuple[str, Any]] = [
    ("number", -1),
    ("number", True),
    ("number", 1.0),
    ("number", None),
    ("small", 2),
    ("small", 10),
    ("signed", 2**63),
    ("truth", 1),
    ("real", 1),
    ("name", b"icu"),
    ("name", "x" * 129),
    ("name", "\N{SNOWMAN}" * 43),
    ("raw", b"abcde"),
    ("raw", "abcd"),
    ("exact", b"abc"),
    ("exact", b"abcde"),
]
BAD_ON_THE_WIRE: list[tuple[str, Any]] = [
    *BAD,
    ("colour", 3),
    ("colour", True),
    ("leaf", None),
    ("leaf", 1),
    ("leaf", {0: 61_002, 1: 1}),
    ("either", {0: 61_003, 1: 1}),
    ("either", {1: 1}),
    ("either", None),
    ("perhaps", 0),
    ("optional", "x"),
    ("few", [1, 2, 3]),
    ("few", {0: 1}),
    ("few", None),
    ("nested", [{0: 61_001, 1: 1}]),
    ("table", [[2, b"b"], [2, b"b"]]),
    ("table", [[300, b"a"], [2, b"b"]]),
    ("table", [[2, b"b", 3]]),
    ("table", [2]),
    ("table", {2: b"b"}),
]
BAD_IN_A_FIELD: list[tuple[str, Any]] = [
    *BAD,
    ("real", float("nan")),
    ("real", float("inf")),
    ("name", "\ud800"),
    ("colour", 2),
    ("leaf", OtherLeaf(1)),
    ("either", Every(**GOOD)),
    ("perhaps", 0),
    ("few", (1, 2, 3)),
    ("few", [1, 2]),
    ("few", None),
    ("few", "ab"),
    ("nested", (Leaf(1),)),
    ("table", [(2, b"b")]),
    ("table", {-1: b"b"}),
]


def _id(value: object) -> str:
    return repr(value)[:24].encode("ascii", "backslashreplace").decode()


@pytest.mark.parametrize(("name", "value"), BAD_ON_THE_WIRE, ids=_id)
def test_unpack_refuses_a_field_that_holds(name: str, value: Any) -> None:
    table = decode(Every(**GOOD).pack()) | {PLACE[name]: value}
    with pytest.raises(EncodingRefused):
        Every.unpack(encode(table))


@pytest.mark.parametrize(("name", "value"), BAD_IN_A_FIELD, ids=_id)
def test_pack_refuses_a_field_that_holds(name: str, value: Any) -> None:
    with pytest.raises(EncodingRefused):
        Every(**GOOD | {name: value}).pack()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("number", 2**64 - 1),
        ("small", 9),
        ("signed", -(2**63)),
        ("signed", 2**63 - 1),
        ("name", "\N{SNOWMAN}" * 42),
        ("raw", b""),
        ("perhaps", Leaf(0)),
        ("optional", 0),
        ("few", ()),
        ("table", {}),
    ],
    ids=_id,
)
def test_bounds_are_included(name: str, value: Any) -> None:
    honest = Every(**GOOD | {name: value})
    assert Every.unpack(honest.pack()) == honest


@pytest.mark.parametrize("kind", [True, 1.0, None, "1", 2])
def test_unpack_refuses_a_kind_that_only_equals_its_own(kind: Any) -> None:
    with pytest.raises(EncodingRefused):
        One.unpack(encode({0: kind, 1: 5}))


@pytest.mark.parametrize("table", [{}, {1: 5}, {0: 1}, {0: 1, 2: 5}, {0: 1, 1: 5, 2: 6}], ids=str)
def test_unpack_refuses_missing_and_unknown_fields(table: dict[int, Any]) -> None:
    with pytest.raises(EncodingRefused):
        One.unpack(encode(table))


def test_unpack_refuses_a_doubled_field() -> None:
    with pytest.raises(EncodingRefused):
        One.unpack(b"\x83\x00\x01\x01\x05\x01\x05")


def test_unpack_refuses_another_document_with_the_same_fields() -> None:
    with pytest.raises(EncodingRefused):
        Leaf.unpack(OtherLeaf(1).pack())


def test_from_map_refuses_what_is_no_map() -> None:
    with pytest.raises(EncodingRefused):
        from_map(Leaf, [61_001, 1])


def test_union_reads_each_of_its_kinds_and_no_other() -> None:
    read = union(Leaf, OtherLeaf)
    assert read(Leaf(1).pack()) == Leaf(1)
    assert read(OtherLeaf(1).pack()) == OtherLeaf(1)
    with pytest.raises(EncodingRefused):
        read(One(1).pack())


@pytest.mark.parametrize("table", [{}, {0: True, 1: 5}, {0: None}, {0: 1.0, 1: 5}], ids=str)
def test_union_refuses_a_document_without_a_kind(table: dict[int, Any]) -> None:
    with pytest.raises(EncodingRefused):
        union(One)(encode(table))


def test_kind_of_tells_what_bytes_claim_to_be() -> None:
    assert kind_of(Leaf(1).pack()) == 61_001
    for table in ({}, {0: True}, {0: "x"}):
        with pytest.raises(EncodingRefused):
            kind_of(encode(table))


def test_refusal_names_the_field_and_shows_no_value() -> None:
    with pytest.raises(EncodingRefused) as caught:
        Every(**GOOD | {"exact": b"secret-bytes"}).pack()
    assert "exact" in str(caught.value)
    assert "secret-bytes" not in str(caught.value.diagnostics())


def test_text_outside_utf8_is_refused_without_showing_it() -> None:
    with pytest.raises(ChironError) as caught:
        Every(**GOOD | {"name": "secret\ud800"}).pack()
    assert caught.value.__cause__ is None
    with pytest.raises(EncodingRefused):
        encode({1: "\ud800"})


def test_field_of_no_known_type_is_a_mistake_of_the_program() -> None:
    @dataclass(frozen=True)
    class Wrong(Document):
        KIND: ClassVar[int] = 61_009
        value: complex

    with pytest.raises(TypeError, match="not a field type"):
        Wrong(1j).pack()


def test_example_of_the_module_runs() -> None:
    failed, tried = doctest.testmod(document)
    assert tried >= 3
    assert failed == 0
