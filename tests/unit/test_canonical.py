"""Canonical bytes: one encoding of each document, and nothing else decodes."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chiron_stream.wire.canonical import MAX_BYTES, EncodingRefused, decode, encode

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
    | st.binary(max_size=20)
)


def documents(values: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[int, Any]]:
    return st.dictionaries(st.integers(0, 65535), values, max_size=5).map(
        lambda table: dict(sorted(table.items()))
    )


values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | documents(inner), max_leaves=12
)


@given(documents(values))
def test_decode_is_the_inverse_of_encode(document: dict[int, Any]) -> None:
    assert decode(encode(document)) == document


@given(documents(values), st.data())
def test_any_other_bytes_decode_to_another_document_or_to_none(
    document: dict[int, Any], data: st.DataObject
) -> None:
    honest = encode(document)
    at = data.draw(st.integers(0, len(honest) - 1))
    forged = honest[:at] + bytes([honest[at] ^ data.draw(st.integers(1, 255))]) + honest[at + 1 :]
    with suppress(EncodingRefused):
        assert encode(decode(forged)) == forged


@given(st.binary(max_size=60))
def test_arbitrary_bytes_never_raise_anything_else(data: bytes) -> None:
    with suppress(EncodingRefused):
        assert encode(decode(data)) == data


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("trailing byte", encode({1: 2}) + b"\0"),
        ("missing byte", encode({1: "abc"})[:-1]),
        ("empty", b""),
        ("longer form of a number", b"\x81\x01\xcc\x02"),
        ("longer form of a key", b"\x81\xcc\x01\x02"),
        ("doubled key", b"\x82\x01\x02\x01\x02"),
        ("keys out of order", b"\x82\x02\x00\x01\x00"),
        ("longer form of a text", b"\x81\x01\xd9\x01a"),
        ("longer form of a map", b"\xde\x00\x01\x01\x02"),
        ("single precision", b"\x81\x01\xca\x3f\x80\x00\x00"),
        ("text that is not UTF-8", b"\x81\x01\xa1\xff"),
        ("text as key", b"\x81\xa1a\x01"),
        ("list as key", b"\x81\x91\x01\x01"),
        ("negative key", b"\x81\xff\x01"),
        ("a list, not a map", b"\x91\x01"),
        ("extension type", b"\x81\x01\xd4\x01\x00"),
        ("time stamp", msgpack.packb({1: msgpack.Timestamp(1)})),
        ("not a number", b"\x81\x01\xcb\x7f\xf8" + bytes(6)),
        ("infinity", b"\x81\x01\xcb\x7f\xf0" + bytes(6)),
        ("reserved byte", b"\x81\x01\xc1"),
        ("too deep", b"\x81\x01" + b"\x91" * 40 + b"\x01"),
        ("far too deep", b"\x81\x01" + b"\x91" * 100_000 + b"\x01"),
        ("a length that is not there", b"\xdf\xff\xff\xff\xff"),
        ("too large", bytes(MAX_BYTES + 1)),
    ],
)
def test_decode_refuses(name: str, data: bytes) -> None:
    with pytest.raises(EncodingRefused):
        decode(data)


@pytest.mark.parametrize(
    "document",
    [
        {1: {1, 2}},
        {1: (1, 2)},
        {1: float("nan")},
        {1: 2**64},
        {1: bytearray(b"x")},
        {"a": 1},
        {True: 1},
        {2: 0, 1: 0},
        {65536: 0},
        [1],
        {1: bytes(MAX_BYTES)},
    ],
    ids=lambda document: str(document)[:20],
)
def test_encode_refuses_what_has_no_canonical_form(document: Any) -> None:
    with pytest.raises(EncodingRefused):
        encode(document)


def test_refusal_shows_no_value() -> None:
    with pytest.raises(EncodingRefused) as refused:
        encode({1: {"secret-value": 1}})
    assert "secret-value" not in str(refused.value)
