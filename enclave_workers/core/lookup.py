"""Objects and shards by reference, over the link.

Offsets decide nothing (:mod:`enclave_workers.core.scanning`). Chunks and records are picked by what
they claim to be, and verified before they are returned; a withheld record and a shortened log are
reported as what they are.
"""

from __future__ import annotations

from typing import Final

from chiron_stream.errors import TamperDetected
from chiron_stream.wire.objects import ObjectRef
from chiron_stream.wire.shards import ShardName, open_shard, record_name
from chiron_stream.wire.tasks import KeyedObject, ShardGrant
from enclave_workers.core.link import Link
from enclave_workers.core.scanning import Hint, find
from enclave_workers.core.streaming import read_stream, write_stream


class _Whole:
    """Keeps an object's bytes."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []

    def take(self, chunk: bytes) -> None:
        self.parts.append(chunk)

    def finish(self) -> None:
        """Do nothing: whoever reads waits for this."""


UPDATES: Final = "update-chunks"
"""The topic of what trainers made."""


def read_object(link: Link, keyed: KeyedObject) -> bytes:
    """Return the plaintext of a chunked object, verified.

    :raises TamperDetected: chunks are missing, or it is another object.
    """
    whole = _Whole()
    read_stream(link, keyed, whole)
    return b"".join(whole.parts)


def write_object(
    link: Link, topic: str, key: bytes, object_id: bytes, plaintext: bytes, partition: int = 0
) -> ObjectRef:
    """Append an object's chunks, wait until all are acknowledged, and return its reference."""
    pieces = iter([plaintext])
    return write_stream(link, topic, key, object_id, len(plaintext), pieces, partition)


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
    hint = Hint("shards", grant.partition, grant.first, last)
    records = find(link, hint, grant.records, identify)
    return open_shard(grant.key, name, grant.digest, records, grant.records)
