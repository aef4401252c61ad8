"""Shards: sizes tell the class alone, and nothing but the announced records opens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chiron_stream.errors import ChironError, PolicyRefused, TamperDetected
from chiron_stream.wire import shards
from chiron_stream.wire.crypto import TAG, gcm_seal
from chiron_stream.wire.shards import (
    ShardName,
    capacity,
    open_shard,
    record_name,
    seal_shard,
    shard_digest,
)
from tests.unit.wire.conftest import Unguard
from tests.unit.wire.damage import assert_only_the_original_reads, damaged, rearranged
from tests.unit.wire.parties import KEY, OTHER_KEY


class Size(NamedTuple):
    records: int
    record_bytes: int


CLASSES = (Size(1, 64), Size(3, 64), Size(3, 128))
NAME = ShardName(bytes([1]) * 16, bytes([2]) * 8, 5)
OTHERS = {
    "session": NAME._replace(session=bytes([9]) * 16),
    "data set": NAME._replace(data_set=bytes([9]) * 8),
    "number": NAME._replace(number=6),
}
HEADER = 44
CONTENT = bytes(range(150))
RECORDS = seal_shard(KEY, NAME, CONTENT, CLASSES)
DIGEST = shard_digest(RECORDS)


def opened(
    records: Sequence[bytes],
    *,
    key: bytes = KEY,
    name: ShardName = NAME,
    digest: bytes | None = None,
    total: int = 3,
) -> bytes:
    """Open records by the places that they claim, as a trainer does; the first of each counts."""
    found: dict[int, bytes] = {}
    for record in records:
        claim = record_name(record)
        if claim is not None and claim[0] == name and claim[2] == total:
            found.setdefault(claim[1], record)
    return open_shard(key, name, digest or DIGEST, found, total)


def assert_code(code: str, records: Sequence[bytes], **other: object) -> None:
    with pytest.raises(TamperDetected) as caught:
        opened(records, **other)  # type: ignore[arg-type]
    assert caught.value.code == code


@given(st.binary(max_size=capacity(CLASSES[-1])))
def test_open_is_the_inverse_of_seal(content: bytes) -> None:
    records = seal_shard(KEY, NAME, content, CLASSES)
    assert opened(records, digest=shard_digest(records), total=len(records)) == content


def test_resend_is_the_same_bytes() -> None:
    assert seal_shard(KEY, NAME, CONTENT, CLASSES) == RECORDS


def test_header_names_shard_place_and_total() -> None:
    wanted = b"CSs1" + bytes([1]) * 16 + bytes([2]) * 8 + bytes(7) + b"\x05"
    assert RECORDS[1][:HEADER] == wanted + b"\0\0\0\x01\0\0\0\x03"
    assert record_name(RECORDS[1]) == (NAME, 1, 3)


@pytest.mark.parametrize("length", range(capacity(CLASSES[-1]) + 1))
def test_sizes_of_ciphertexts_tell_the_class_alone(length: int) -> None:
    size = next(one for one in CLASSES if capacity(one) >= length)
    sizes = [len(one) for one in seal_shard(KEY, NAME, b"\xff" * length, CLASSES)]
    assert sizes == [HEADER + size.record_bytes + TAG] * size.records


@pytest.mark.parametrize("number", range(3))
def test_class_boundary_is_its_capacity(number: int) -> None:
    room = capacity(CLASSES[number])
    assert room == CLASSES[number].records * CLASSES[number].record_bytes - 8
    full = seal_shard(KEY, NAME, bytes(room), CLASSES)
    assert len(full) == CLASSES[number].records
    assert len(full[0]) == HEADER + CLASSES[number].record_bytes + TAG


def test_smallest_class_is_chosen_whatever_their_order() -> None:
    assert seal_shard(KEY, NAME, CONTENT, CLASSES[::-1]) == RECORDS


def test_seal_refuses_content_that_no_class_holds() -> None:
    with pytest.raises(PolicyRefused) as caught:
        seal_shard(KEY, NAME, bytes(capacity(CLASSES[-1]) + 1), CLASSES)
    assert caught.value.code == "SHARD_TOO_LARGE"
    assert "376 bytes" in str(caught.value)


@pytest.mark.parametrize("place", range(3))
def test_open_refuses_shard_with_any_byte_of_a_record_altered(place: int) -> None:
    def read(data: bytes) -> bytes:
        return opened([data if at == place else one for at, one in enumerate(RECORDS)])

    assert_only_the_original_reads(read, RECORDS[place])


@pytest.mark.parametrize("place", range(3))
def test_announced_digest_of_damaged_records_does_not_help(place: int) -> None:
    for _what, forged in damaged(RECORDS[place]):
        records = [forged if at == place else one for at, one in enumerate(RECORDS)]
        if forged[HEADER:] != RECORDS[place][HEADER:]:  # the header is not what is opened under
            with pytest.raises(ChironError):
                opened(records, digest=shard_digest(records))


def test_open_refuses_shard_without_one_of_its_records() -> None:
    for place in range(3):
        assert_code("SHARD_MISSING", [*RECORDS[:place], *RECORDS[place + 1 :]])


def test_open_does_not_depend_on_the_order_in_the_log_or_on_doubled_records() -> None:
    for _what, records in rearranged(RECORDS):
        if len(records) >= 3:
            assert opened(records) == CONTENT


def test_open_refuses_two_records_at_each_others_places() -> None:
    swapped = {0: RECORDS[1], 1: RECORDS[0], 2: RECORDS[2]}
    lying = shard_digest([RECORDS[1], RECORDS[0], RECORDS[2]])
    with pytest.raises(TamperDetected):
        open_shard(KEY, NAME, DIGEST, swapped, 3)
    with pytest.raises(TamperDetected):  # the nonce is the place
        open_shard(KEY, NAME, lying, swapped, 3)


@pytest.mark.parametrize("what", OTHERS)
def test_open_refuses_records_of_another(what: str) -> None:
    others = seal_shard(KEY, OTHERS[what], CONTENT, CLASSES)
    assert_code("SHARD_MISSING", others)
    renamed = [one[:HEADER] + other[HEADER:] for one, other in zip(RECORDS, others, strict=True)]
    assert_code("SHARD_DIGEST", renamed)
    assert_code("DOES_NOT_OPEN", renamed, digest=shard_digest(renamed))


@pytest.mark.parametrize("what", OTHERS)
def test_header_is_what_keeps_shards_of_one_key_apart(
    what: str, without_associated_data: Unguard
) -> None:
    without_associated_data(shards)
    others = seal_shard(KEY, OTHERS[what], CONTENT, CLASSES)
    renamed = [one[:HEADER] + other[HEADER:] for one, other in zip(RECORDS, others, strict=True)]
    assert opened(renamed, digest=shard_digest(renamed)) == CONTENT


def test_open_refuses_records_under_another_key() -> None:
    others = seal_shard(OTHER_KEY, NAME, CONTENT, CLASSES)
    assert_code("DOES_NOT_OPEN", others, digest=shard_digest(others))


def test_open_refuses_another_digest_than_was_announced() -> None:
    assert_code("SHARD_DIGEST", RECORDS, digest=bytes(32))


def test_open_refuses_a_total_that_was_not_sealed() -> None:
    with pytest.raises(TamperDetected):
        open_shard(KEY, NAME, shard_digest(RECORDS[:2]), dict(enumerate(RECORDS[:2])), 2)


def test_open_refuses_a_shard_of_no_records() -> None:
    with pytest.raises(TamperDetected) as caught:
        open_shard(KEY, NAME, shard_digest([]), {}, 0)
    assert caught.value.code == "PADDING"


@pytest.mark.parametrize(
    "padded",
    [
        bytes(7) + b"\x02" + b"abc" + bytes(5),
        bytes(7) + b"\x09" + bytes(8),
        b"\xff" * 8 + bytes(8),
        bytes(3),
        b"",
    ],
    ids=["content behind its end", "longer than the shard", "far longer", "no length", "nothing"],
)
def test_open_refuses_padding_that_no_honest_owner_makes(padded: bytes) -> None:
    header = shards._header(NAME, 0, 1)
    record = header + gcm_seal(KEY, 0, padded, header)
    assert_code("PADDING", [record], digest=shard_digest([record]), total=1)


@pytest.mark.parametrize("record", [b"", b"CSs1", RECORDS[0][: HEADER - 1], b"CSo1" + bytes(60)])
def test_what_is_no_shard_record_has_no_name(record: bytes) -> None:
    assert record_name(record) is None
