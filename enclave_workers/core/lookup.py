"""Finding what a reference names: the hinted extent first, then a bounded scan around it.

Offsets decide nothing. Chunks and records are picked by what they claim to be, and verified by
whoever opens them; a withheld record and a shortened log are reported as what they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Final

from chiron_stream.errors import TamperDetected
from chiron_stream.wire.courier import Send
from chiron_stream.wire.objects import (
    ChunkName,
    ObjectRef,
    chunk_name,
    object_digest,
    open_object,
    seal_object,
)
from chiron_stream.wire.shards import ShardName, open_shard, record_name
from chiron_stream.wire.tasks import KeyedObject, ShardGrant
from enclave_workers.core.link import Link

SCAN: Final = 10_000
"""Offsets looked at on either side of a hint."""

_STRIDE: Final = 500
APPEND_BYTES: Final = 4_000_000
"""Bytes of values handed to the courier at once, about."""

Identify = Callable[[bytes], int | None]


def find(
    link: Link, topic: str, partition: int, first: int, last: int, total: int, identify: Identify
) -> dict[int, bytes]:
    """Return values by index as ``identify`` tells it: the first of each index is taken.

    :param total: how many there should be; scanning ends when all are found.
    """
    found: dict[int, bytes] = {}

    def take(low: int, end: int) -> bool:
        for line in link.read(topic, low, end, partition=partition, committed=False):
            index = identify(line.value)
            if index is not None and index < total:
                found.setdefault(index, line.value)
        return len(found) == total

    with suppress(TamperDetected):  # a hint beyond the log is no more than a wrong hint
        if take(first, last + 1):
            return found
    for low, end in _around(link, topic, partition, first, last):
        if take(low, end):
            break
    return found


def _around(
    link: Link, topic: str, partition: int, first: int, last: int
) -> Iterator[tuple[int, int]]:
    """Yield what lies behind a hint, then what lies before it, as far as the log reaches."""
    marks = link.reach(topic, partition)
    low, high = marks.low, marks.high
    spans = [(at, at + _STRIDE) for at in range(last + 1, last + 1 + SCAN, _STRIDE)]
    spans += [(max(0, at - _STRIDE), at) for at in range(last + 1, max(0, first - SCAN), -_STRIDE)]
    for start, end in spans:
        inside = max(start, low), min(end, high)
        if inside[0] < inside[1]:
            yield inside


def read_object(link: Link, keyed: KeyedObject) -> bytes:
    """Return the plaintext of a chunked object.

    :raises TamperDetected: chunks are missing, or it is another object.
    """
    ref = keyed.ref

    def identify(record: bytes) -> int | None:
        name = chunk_name(record)
        if name is None or name != ChunkName(ref.object_id, name.place, ref.chunks):
            return None
        return name.place

    found = find(link, ref.topic, ref.partition, ref.first, ref.last, ref.chunks, identify)
    return open_object(keyed.key, ref, found)


def write_object(
    link: Link, topic: str, key: bytes, object_id: bytes, plaintext: bytes
) -> ObjectRef:
    """Append an object's chunks, wait until all are acknowledged, and return its reference."""
    chunks = seal_object(key, object_id, plaintext)
    offsets: list[int] = []
    for batch in _batches(chunks):
        offsets += link.append([Send(topic, 0, chunk, b"", b"") for chunk in batch])
    return ObjectRef(
        topic=topic,
        partition=0,
        first=min(offsets),
        last=max(offsets),
        object_id=object_id,
        chunks=len(chunks),
        size=len(plaintext),
        digest=object_digest(plaintext),
    )


def _batches(chunks: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    stride = max(1, APPEND_BYTES // max(len(chunk) for chunk in chunks))
    for start in range(0, len(chunks), stride):
        yield chunks[start : start + stride]


def read_shard(link: Link, grant: ShardGrant) -> bytes:
    """Return the content of a shard.

    :raises TamperDetected: its records are missing, differ from the announced ones, or do not
        open: what PARKED is for.
    """
    name = ShardName(grant.session, grant.data_set, grant.number)

    def identify(record: bytes) -> int | None:
        found = record_name(record)
        if found is None or found[0] != name or found[2] != grant.records:
            return None
        return found[1]

    last = grant.first + grant.records - 1
    if not 0 < grant.records <= 4096:
        raise TamperDetected("a shard of impossible size", code="SHARD_SIZE")
    if grant.partition >= link.partitions("shards"):
        raise TamperDetected("a shard in a partition that there is not", code="SHARD_PARTITION")
    records = find(link, "shards", grant.partition, grant.first, last, grant.records, identify)
    return open_shard(grant.key, name, grant.digest, records, grant.records)
