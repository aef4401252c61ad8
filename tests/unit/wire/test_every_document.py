"""What holds for every document of the project, whoever wrote it."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from typing import Any

import msgpack
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chiron_stream.errors import ChironError
from chiron_stream.wire.canonical import EncodingRefused, decode, encode
from chiron_stream.wire.document import Document
from tests.unit.wire.damage import flip
from tests.unit.wire.forms import all_documents, documents

few = settings(max_examples=8, suppress_health_check=[HealthCheck.too_slow])
every_document = pytest.mark.parametrize("kind", all_documents(), ids=lambda kind: kind.__name__)
OTHER_VALUES: list[Any] = [None, True, -1, 2**64 - 1, 0.5, "x", b"x", [], [[]], {}, {0: 65_535}]


def _refused_or_faithful(kind: type[Document], forged: bytes) -> None:
    """Bytes that read are the one encoding of what was read, and of this kind."""
    with suppress(ChironError):
        found = kind.unpack(forged)
        assert type(found) is kind
        assert found.pack() == forged


def test_there_are_as_many_documents_as_ever() -> None:
    assert len(all_documents()) >= 110


def test_no_two_documents_have_the_same_kind() -> None:
    counted = Counter(one.KIND for one in all_documents())
    assert [kind for kind, count in counted.items() if count > 1] == []


def test_no_two_documents_have_the_same_name() -> None:
    counted = Counter((one.__module__, one.__name__) for one in all_documents())
    assert max(counted.values()) == 1


@every_document
@few
@given(st.data())
def test_unpack_is_the_inverse_of_pack(kind: type[Document], data: st.DataObject) -> None:
    honest = data.draw(documents(kind))
    packed = honest.pack()
    assert kind.unpack(packed) == honest
    assert kind.unpack(packed).pack() == packed


@every_document
@few
@given(st.data())
def test_flipped_byte_is_refused_or_says_what_it_says(
    kind: type[Document], data: st.DataObject
) -> None:
    packed = data.draw(documents(kind)).pack()
    at, mask = data.draw(st.integers(0, len(packed) - 1)), data.draw(st.integers(1, 255))
    _refused_or_faithful(kind, flip(packed, at, mask))


@every_document
@few
@given(st.data())
def test_cut_or_extended_bytes_are_refused(kind: type[Document], data: st.DataObject) -> None:
    packed = data.draw(documents(kind)).pack()
    cut = packed[: data.draw(st.integers(0, len(packed) - 1))]
    longer = packed + data.draw(st.binary(min_size=1, max_size=3))
    for forged in (cut, longer):
        with pytest.raises(EncodingRefused):
            kind.unpack(forged)


@every_document
@few
@given(st.data())
def test_missing_unknown_or_doubled_field_is_refused(
    kind: type[Document], data: st.DataObject
) -> None:
    table = decode(data.draw(documents(kind)).pack())
    chosen = data.draw(st.sampled_from(list(table)))
    less = {number: value for number, value in table.items() if number != chosen}
    more = table | {data.draw(st.integers(len(table), 65_535)): 0}
    pair = msgpack.packb(chosen) + msgpack.packb(table[chosen], use_bin_type=True)
    doubled = _header(len(table) + 1) + encode(table)[len(_header(len(table))) :] + pair
    for forged in (encode(less), encode(more), doubled):
        with pytest.raises(EncodingRefused):
            kind.unpack(forged)


def _header(entries: int) -> bytes:
    return bytes(msgpack.Packer().pack_map_header(entries))


@every_document
@few
@given(st.data())
def test_field_of_another_type_is_refused_or_says_what_it_says(
    kind: type[Document], data: st.DataObject
) -> None:
    table = decode(data.draw(documents(kind)).pack())
    for number in table:
        for value in OTHER_VALUES:
            _refused_or_faithful(kind, encode(table | {number: value}))


@every_document
@few
@given(st.data())
def test_no_document_passes_for_another_kind(kind: type[Document], data: st.DataObject) -> None:
    packed = data.draw(documents(kind)).pack()
    for other in all_documents():
        if other is not kind:
            with pytest.raises(EncodingRefused):
                other.unpack(packed)


@every_document
@few
@given(st.data())
def test_kind_of_another_type_is_refused(kind: type[Document], data: st.DataObject) -> None:
    table = decode(data.draw(documents(kind)).pack())
    for value in (True, float(kind.KIND), None, str(kind.KIND), kind.KIND + 1, 65_535):
        with pytest.raises(EncodingRefused):
            kind.unpack(encode(table | {0: value}))
