"""Chunked objects: recipes, updates, versions and snapshots, larger than one record.

A chunk's value is a fixed header and one finalised Cobblestone-256 object::

    "CSo1" ‖ object id (16) ‖ index (4, big-endian) ‖ total (4) ‖ sealed
    context = that header

A reference carries the object's plain digest, so it only ever travels sealed; an old object under
the same key does not pass for a new one.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Final, NamedTuple

from chiron_stream.errors import TamperDetected
from chiron_stream.wire import labels
from chiron_stream.wire.crypto import seal, sha256, unseal
from chiron_stream.wire.document import Digest, Document, Id, Name

CHUNK_BYTES: Final = 900_000
"""Plaintext bytes of a chunk, at most."""

MAX_CHUNKS: Final = 4096

_HEADER: Final = struct.Struct(">4s16sII")
_MAGIC: Final = b"CSo1"


@dataclass(frozen=True)
class ObjectRef(Document):
    """Where an object is and what it must be. Topic, partition and offsets are hints.

    ``size`` is in plaintext bytes; ``digest`` is :func:`object_digest` of the plaintext.
    """

    KIND: ClassVar[int] = 20
    topic: Name
    partition: int
    first: int
    last: int
    object_id: Id
    chunks: int
    size: int
    digest: Digest


class ChunkName(NamedTuple):
    """Which chunk a record claims to be."""

    object_id: bytes
    place: int
    total: int


def object_digest(plaintext: bytes) -> bytes:
    """Return the digest that references carry."""
    return sha256(labels.OBJECT, plaintext)


def seal_object(key: bytes, object_id: bytes, plaintext: bytes) -> list[bytes]:
    """Return the chunk records of an object, in order; an empty object has one chunk."""
    total = max(1, -(-len(plaintext) // CHUNK_BYTES))
    if total > MAX_CHUNKS:
        raise TamperDetected(
            "an object is too large", code="OBJECT_SIZE", expected=f"at most {MAX_CHUNKS} chunks"
        )
    chunks = []
    for index in range(total):
        header = _HEADER.pack(_MAGIC, object_id, index, total)
        part = plaintext[index * CHUNK_BYTES : (index + 1) * CHUNK_BYTES]
        chunks.append(header + seal(key, header, part))
    return chunks


def chunk_name(record: bytes) -> ChunkName | None:
    """Return which chunk a record claims to be, or None if it is no chunk."""
    if len(record) < _HEADER.size:
        return None
    magic, object_id, index, total = _HEADER.unpack_from(record)
    return ChunkName(object_id, index, total) if magic == _MAGIC else None


def open_object(key: bytes, ref: ObjectRef, chunks: Mapping[int, bytes]) -> bytes:
    """Return the plaintext of an object.

    :param chunks: records by their claimed index.
    :raises TamperDetected: a chunk is missing, does not open, or the whole is another object.
    """
    parts = []
    for index in range(ref.chunks):
        if index not in chunks:
            raise TamperDetected(
                "a chunk is missing",
                code="CHUNK_MISSING",
                expected=f"{ref.chunks} chunks in {ref.topic}",
                got=f"no chunk {index}",
            )
        parts.append(_open_chunk(key, ref, index, chunks[index]))
    plaintext = b"".join(parts)
    if len(plaintext) != ref.size or object_digest(plaintext) != ref.digest:
        raise TamperDetected("an object is not the one referred to", code="OBJECT_DIGEST")
    return plaintext


def _open_chunk(key: bytes, ref: ObjectRef, index: int, record: bytes) -> bytes:
    if chunk_name(record) != ChunkName(ref.object_id, index, ref.chunks):
        raise TamperDetected("a chunk of another object", code="CHUNK_NAME")
    return unseal(key, record[: _HEADER.size], record[_HEADER.size :])
