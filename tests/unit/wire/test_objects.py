"""Chunked objects: every chunk there, of this object, and the whole the one referred to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from chiron_stream.errors import TamperDetected
from chiron_stream.wire import objects
from chiron_stream.wire.objects import (
    ObjectOpener,
    ObjectRef,
    chunk_name,
    object_digest,
    open_object,
    seal_object,
)
from tests.unit.wire.conftest import Unguard
from tests.unit.wire.damage import assert_only_the_original_reads
from tests.unit.wire.parties import KEY, OTHER_KEY

OBJECT, OTHER_OBJECT = bytes([1]) * 16, bytes([2]) * 16
CONTENT = bytes(range(250))
HEADER = 28


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of 100 bytes instead of 900,000: the same code, in less time."""
    monkeypatch.setattr(objects, "CHUNK_BYTES", 100)


def ref_of(content: bytes = CONTENT, chunks: int = 3, object_id: bytes = OBJECT) -> ObjectRef:
    return ObjectRef("bulk", 0, 0, 9, object_id, chunks, len(content), object_digest(content))


def sealed(content: bytes = CONTENT, key: bytes = KEY, object_id: bytes = OBJECT) -> list[bytes]:
    return seal_object(key, object_id, content)


def opened(chunks: Sequence[bytes], ref: ObjectRef | None = None, key: bytes = KEY) -> bytes:
    return open_object(key, ref or ref_of(), dict(enumerate(chunks)))


def assert_code(code: str, chunks: Sequence[bytes], **other: Any) -> None:
    with pytest.raises(TamperDetected) as caught:
        opened(chunks, **other)
    assert caught.value.code == code


@pytest.mark.parametrize("size", [0, 1, 99, 100, 101, 200, 250, 1000])
def test_open_is_the_inverse_of_seal(size: int) -> None:
    content = b"\x07" * size
    chunks = sealed(content)
    assert len(chunks) == max(1, -(-size // 100))
    assert opened(chunks, ref_of(content, len(chunks))) == content


def test_header_names_object_place_and_total() -> None:
    chunk = sealed()[1]
    assert chunk[:HEADER] == b"CSo1" + OBJECT + b"\0\0\0\x01\0\0\0\x03"
    assert chunk_name(chunk) == (OBJECT, 1, 3)


@pytest.mark.parametrize("record", [b"", b"CSo1", bytes(60), b"CSs1" + bytes(60)])
def test_what_is_no_chunk_has_no_name(record: bytes) -> None:
    assert chunk_name(record) is None
    assert_code("CHUNK_NAME", [record, *sealed()[1:]])


@pytest.mark.parametrize("place", range(3))
def test_open_refuses_object_with_any_byte_of_a_chunk_altered(place: int) -> None:
    chunks = sealed()
    assert_only_the_original_reads(
        lambda data: opened([*chunks[:place], data, *chunks[place + 1 :]]), chunks[place]
    )


@pytest.mark.parametrize("place", range(3))
def test_open_refuses_object_without_a_chunk(place: int) -> None:
    found = {at: one for at, one in enumerate(sealed()) if at != place}
    with pytest.raises(TamperDetected) as caught:
        open_object(KEY, ref_of(), found)
    assert caught.value.code == "CHUNK_MISSING"


def test_open_refuses_swapped_chunks() -> None:
    first, second, third = sealed()
    assert_code("CHUNK_NAME", [second, first, third])
    renamed = [first[:HEADER] + second[HEADER:], second[:HEADER] + first[HEADER:], third]
    assert_code("DOES_NOT_OPEN", renamed)


def test_context_is_what_keeps_chunks_at_their_places(without_context: Unguard) -> None:
    without_context(objects)
    first, second, third = sealed(b"\x07" * 250)
    renamed = [first[:HEADER] + second[HEADER:], second[:HEADER] + first[HEADER:], third]
    assert opened(renamed, ref_of(b"\x07" * 250)) == b"\x07" * 250


def test_open_refuses_chunk_of_another_object() -> None:
    others = sealed(object_id=OTHER_OBJECT)
    assert_code("CHUNK_NAME", [others[0], *sealed()[1:]])
    renamed = sealed()[0][:HEADER] + others[0][HEADER:]
    assert_code("DOES_NOT_OPEN", [renamed, *sealed()[1:]])


def test_open_refuses_chunk_under_another_key() -> None:
    assert_code("DOES_NOT_OPEN", sealed(key=OTHER_KEY))


def test_open_refuses_old_object_under_the_same_key_and_id() -> None:
    old = sealed(bytes(250))
    assert_code("OBJECT_DIGEST", old)
    assert opened(old, ref_of(bytes(250))) == bytes(250)


def test_open_refuses_chunk_of_an_old_object_among_the_new_ones() -> None:
    assert_code("OBJECT_DIGEST", [sealed(bytes(250))[0], *sealed()[1:]])


def test_open_refuses_object_of_another_size_or_number_of_chunks() -> None:
    assert_code("OBJECT_DIGEST", sealed(), ref=replace(ref_of(), size=251))
    assert_code("CHUNK_NAME", sealed(), ref=replace(ref_of(), chunks=2))


def test_reference_to_endlessly_many_chunks_ends_at_the_first_missing_one() -> None:
    endless = ref_of(chunks=2**64 - 1)
    with pytest.raises(TamperDetected) as caught:
        open_object(KEY, endless, {})
    assert caught.value.code == "CHUNK_MISSING"


def test_reference_to_no_chunks_is_not_the_object() -> None:
    assert_code("OBJECT_DIGEST", [], ref=ref_of(chunks=0))


def test_object_of_too_many_chunks_is_not_sealed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "MAX_CHUNKS", 2)
    with pytest.raises(TamperDetected) as caught:
        sealed()
    assert caught.value.code == "OBJECT_SIZE"
    assert len(sealed(bytes(200))) == 2


def test_chunks_open_one_by_one_and_the_object_is_known_at_the_end() -> None:
    opener, chunks = ObjectOpener(KEY, ref_of()), sealed()
    for place, chunk in enumerate(chunks):
        assert opener.next == place
        assert not opener.complete
        with pytest.raises(TamperDetected) as caught:
            opener.finish()
        assert caught.value.code == "CHUNK_MISSING"
        assert opener.opened(chunk) == CONTENT[place * 100 : (place + 1) * 100]
    assert opener.complete
    opener.finish()


def test_chunk_opens_in_its_turn_only() -> None:
    opener, chunks = ObjectOpener(KEY, ref_of()), sealed()
    for turn, chunk in enumerate(chunks):
        for other in (*chunks[:turn], *chunks[turn + 1 :], b"", chunk[:27]):
            with pytest.raises(TamperDetected) as caught:
                opener.opened(other)
            assert caught.value.code == "CHUNK_NAME"
        opener.opened(chunk)
    opener.finish()


def test_chunk_that_does_not_open_is_still_to_come() -> None:
    opener, (first, *rest) = ObjectOpener(KEY, ref_of()), sealed()
    with pytest.raises(TamperDetected):
        opener.opened(first[:-1] + bytes([first[-1] ^ 1]))
    for chunk in (first, *rest):
        opener.opened(chunk)
    opener.finish()


@pytest.mark.parametrize("size", [0, 99, 199, 249])
def test_no_more_is_opened_than_the_object_has_bytes(size: int) -> None:
    opener = ObjectOpener(KEY, replace(ref_of(), size=size))
    chunks, fitting = sealed(), size // 100
    assert b"".join(map(opener.opened, chunks[:fitting])) == CONTENT[: fitting * 100]
    with pytest.raises(TamperDetected) as caught:
        opener.opened(chunks[fitting])
    assert caught.value.code == "OBJECT_DIGEST"


def test_only_chunks_of_the_object_have_a_place_in_it() -> None:
    opener = ObjectOpener(KEY, ref_of())
    assert [opener.place(one) for one in sealed()] == [0, 1, 2]
    assert [opener.place(one) for one in sealed(object_id=OTHER_OBJECT)] == [None] * 3
    assert [opener.place(one) for one in sealed(bytes(350))] == [None] * 4
    beyond = sealed()[0]
    beyond = beyond[:20] + (3).to_bytes(4, "big") + beyond[24:]
    assert [opener.place(one) for one in (b"", bytes(60), beyond)] == [None] * 3
