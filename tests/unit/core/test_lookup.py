"""Finding chunks and shards: hints may be wrong, and logs full of what only looks like them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from chiron_stream.errors import RolledBack, TamperDetected
from chiron_stream.wire.courier import Line, Marks
from chiron_stream.wire.objects import CHUNK_BYTES, ObjectRef, object_digest, seal_object
from chiron_stream.wire.shards import ShardName, seal_shard, shard_digest
from chiron_stream.wire.tasks import KeyedObject, ShardGrant
from enclave_workers.core.lookup import read_object, read_shard, write_object
from enclave_workers.core.scanning import SCAN
from tests.unit.core.shelf import Shelf
from tests.unit.core.story import digest, tampered
from tests.unit.job.builders import POLICY

KEY = digest("key")
PLAIN = bytes(range(256)) * (3 * CHUNK_BYTES // 256)
CHUNKS = seal_object(KEY, bytes(16), PLAIN)
OTHERS = seal_object(KEY, bytes(16), PLAIN + b"longer" * CHUNK_BYTES)
"""The same key and id, another object of more chunks."""

CONTENT = bytes(100_000)
NAME = ShardName(bytes(16), bytes(8), 7)
RECORDS = seal_shard(KEY, NAME, CONTENT, POLICY.shard_classes)


class Broker(Shelf):
    """A log of two topics that refuses, as brokers do, offsets that it does not have."""

    def put(self, topic: str, *values: bytes, at: int = 0) -> Broker:
        self.topics.setdefault(topic, {}).update(dict(enumerate(values, at)))
        return self

    def shown(self, topic: str, first: int, end: int) -> list[Line]:
        if end > self.reach(topic).high:
            raise RolledBack("above the end")
        return super().shown(topic, first, end)

    def reach(self, topic: str, partition: int = 0) -> Marks:
        return replace(super().reach(topic, partition), partitions=2)


def keyed(first: int = 0) -> KeyedObject:
    last, size = first + len(CHUNKS) - 1, len(PLAIN)
    ref = ObjectRef("bulk", 0, first, last, bytes(16), len(CHUNKS), size, object_digest(PLAIN))
    return KeyedObject(ref, KEY)


def grant(**parts: object) -> ShardGrant:
    made = ShardGrant(*NAME, 10, len(RECORDS), shard_digest(RECORDS), partition=0, first=0, key=KEY)
    return replace(made, **parts)  # type: ignore[arg-type]


def refusal(link: Shelf, wanted: KeyedObject | ShardGrant) -> str:
    with pytest.raises(TamperDetected) as refused:
        read_shard(link, wanted) if isinstance(wanted, ShardGrant) else read_object(link, wanted)
    return refused.value.code


def test_object_is_read_where_its_reference_says() -> None:
    link = Broker()
    ref = write_object(link, "bulk", KEY, bytes(16), PLAIN)
    assert read_object(link, KeyedObject(ref, KEY)) == PLAIN


@pytest.mark.parametrize("at", [0, 3, 700, SCAN - 10])
@pytest.mark.parametrize("hint", [0, 5, 600, 10**9])
def test_wrong_hint_costs_a_scan_as_far_as_its_bound(at: int, hint: int) -> None:
    link = Broker().put("bulk", *CHUNKS, at=at)
    if hint < 10**9:
        assert read_object(link, keyed(hint)) == PLAIN
    else:
        assert refusal(link, keyed(hint)) == "CHUNK_MISSING"


def test_what_lies_beyond_the_bound_is_missing() -> None:
    link = Broker().put("bulk", *CHUNKS, at=2 * SCAN)
    assert refusal(link, keyed()) == "CHUNK_MISSING"


def test_chunks_may_stand_in_any_order_among_anything() -> None:
    junk = [b"", b"CSo1", bytes(50), *RECORDS, *OTHERS]
    mixed = [one for pair in zip(junk, [*reversed(CHUNKS), *CHUNKS], strict=False) for one in pair]
    assert read_object(Broker().put("bulk", *mixed), keyed()) == PLAIN


def test_chunk_beyond_the_last_one_is_passed_over() -> None:
    """It claims the object's id and number of chunks: it must not end the search."""
    header = bytearray(CHUNKS[0])
    header[20:24] = len(CHUNKS).to_bytes(4, "big")
    beyond = bytes(header)
    link = Broker().put("bulk", beyond, *CHUNKS[:-1], b"junk", CHUNKS[-1])
    assert read_object(link, keyed()) == PLAIN


def test_first_chunk_of_each_number_is_taken() -> None:
    altered = [tampered(one, -1) for one in CHUNKS[:2]]
    link = Broker().put("bulk", *CHUNKS[:2], *altered, CHUNKS[2])
    assert read_object(link, keyed()) == PLAIN
    assert refusal(Broker().put("bulk", *altered, *CHUNKS), keyed()) == "DOES_NOT_OPEN"


@pytest.mark.parametrize("gone", range(len(CHUNKS)))
def test_withheld_chunk_is_missing(gone: int) -> None:
    kept = [one for number, one in enumerate(CHUNKS) if number != gone]
    assert refusal(Broker().put("bulk", *kept), keyed()) == "CHUNK_MISSING"


def test_shard_is_read_and_found_behind_a_wrong_hint() -> None:
    assert read_shard(Broker().put("shards", *RECORDS), grant()) == CONTENT
    link = Broker().put("shards", *CHUNKS, *reversed(RECORDS), at=40)
    assert read_shard(link, grant(first=9)) == CONTENT


def test_first_record_of_each_number_is_taken() -> None:
    altered = [tampered(one, -1) for one in RECORDS]
    assert read_shard(Broker().put("shards", *RECORDS, *altered), grant()) == CONTENT
    mixed = [RECORDS[0], *altered, *RECORDS[1:]]
    assert refusal(Broker().put("shards", *mixed), grant()) == "SHARD_DIGEST"


@pytest.mark.parametrize(
    "other",
    [ShardName(bytes(15) + b"\1", bytes(8), 7), ShardName(bytes(16), bytes(7) + b"\1", 7)],
    ids=["session", "data set"],
)
def test_records_of_another_shard_are_passed_over(other: ShardName) -> None:
    foreign = seal_shard(KEY, other, CONTENT, POLICY.shard_classes)
    assert read_shard(Broker().put("shards", *foreign, *RECORDS), grant()) == CONTENT
    assert refusal(Broker().put("shards", *foreign), grant()) == "SHARD_MISSING"


def test_records_of_another_total_are_passed_over() -> None:
    small = seal_shard(KEY, NAME, b"small", POLICY.shard_classes)
    assert len(small) != len(RECORDS)
    assert read_shard(Broker().put("shards", *small, *RECORDS), grant()) == CONTENT


@pytest.mark.parametrize("records", [0, 4097, 2**60])
def test_shard_of_impossible_size_is_refused_before_anything_is_read(records: int) -> None:
    link = Broker().put("shards", *RECORDS)
    assert refusal(link, grant(records=records)) == "SHARD_SIZE"
    assert link.reads == []


def test_shard_in_a_partition_that_there_is_not_is_refused_before_anything_is_read() -> None:
    link = Broker().put("shards", *RECORDS)
    assert refusal(link, grant(partition=2)) == "SHARD_PARTITION"
    assert link.reads == []
