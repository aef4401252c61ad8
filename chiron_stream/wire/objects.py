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
from chiron_stream.wire.crypto import Bytes, running_sha256, seal, sha256, unseal
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


def chunks_of(size: int) -> int:
    """Return how many chunks an object of so many bytes has; an empty one has one.

    :raises TamperDetected: it is too large.
    """
    total = max(1, -(-size // CHUNK_BYTES))
    if total > MAX_CHUNKS:
        raise TamperDetected(
            "an object is too large", code="OBJECT_SIZE", expected=f"at most {MAX_CHUNKS} chunks"
        )
    return total


def seal_chunk(key: bytes, name: ChunkName, plaintext: Bytes) -> bytes:
    """Return the record of one chunk."""
    header = _HEADER.pack(_MAGIC, *name)
    return header + seal(key, header, plaintext)


def seal_object(key: bytes, object_id: bytes, plaintext: bytes) -> list[bytes]:
    """Return the chunk records of an object, in order; an empty object has one chunk."""
    total = chunks_of(len(plaintext))
    view = memoryview(plaintext)
    return [
        seal_chunk(
            key,
            ChunkName(object_id, index, total),
            view[index * CHUNK_BYTES : (index + 1) * CHUNK_BYTES],
        )
        for index in range(total)
    ]


def chunk_name(record: Bytes) -> ChunkName | None:
    """Return which chunk a record claims to be, or None if it is no chunk."""
    if len(record) < _HEADER.size:
        return None
    magic, object_id, index, total = _HEADER.unpack_from(record)
    return ChunkName(object_id, index, total) if magic == _MAGIC else None


class ObjectOpener:
    """Opens an object's chunks one after the other.

    What :meth:`opened` returns was written under the object's key for this place of it. That it is
    the object referred to, all of it, is known when :meth:`finish` has returned: until then
    nothing that was made of the chunks may count.
    """

    def __init__(self, key: bytes, ref: ObjectRef) -> None:
        self._key = key
        self._ref = ref
        self._digest = running_sha256(labels.OBJECT, ref.size)
        self._left = ref.size
        self.next = 0
        """The place of the chunk that is opened next."""

    @property
    def complete(self) -> bool:
        """Whether every chunk was opened."""
        return self.next >= self._ref.chunks

    def place(self, record: Bytes) -> int | None:
        """Return which chunk of this object a record claims to be, or None if of none."""
        name = chunk_name(record)
        if name is None or name.place >= self._ref.chunks:
            return None
        return name.place if name == self._name(name.place) else None

    def _name(self, place: int) -> ChunkName:
        return ChunkName(self._ref.object_id, place, self._ref.chunks)

    def opened(self, record: Bytes) -> bytes:
        """Return the plaintext of the next chunk.

        :raises TamperDetected: it is another chunk, does not open, or is longer than all that is
            left of the object.
        """
        if chunk_name(record) != self._name(self.next):
            raise TamperDetected("a chunk of another object", code="CHUNK_NAME")
        view = memoryview(record)
        plaintext = unseal(self._key, bytes(view[: _HEADER.size]), view[_HEADER.size :])
        self.next += 1
        self._left -= len(plaintext)
        if self._left < 0:
            raise _another_object()
        self._digest.update(plaintext)
        return plaintext

    def finish(self) -> None:
        """Return if all chunks together are the object referred to.

        :raises TamperDetected: one is missing, or they are another object.
        """
        if not self.complete:
            raise TamperDetected(
                "a chunk is missing",
                code="CHUNK_MISSING",
                expected=f"{self._ref.chunks} chunks in {self._ref.topic}",
                got=f"no chunk {self.next}",
            )
        if self._left or self._digest.digest() != self._ref.digest:
            raise _another_object()


def _another_object() -> TamperDetected:
    return TamperDetected("an object is not the one referred to", code="OBJECT_DIGEST")


def open_object(key: bytes, ref: ObjectRef, chunks: Mapping[int, bytes]) -> bytes:
    """Return the plaintext of an object.

    :param chunks: records by their claimed index.
    :raises TamperDetected: a chunk is missing, does not open, or the whole is another object.
    """
    opener = ObjectOpener(key, ref)
    parts = []
    while opener.next in chunks and not opener.complete:
        parts.append(opener.opened(chunks[opener.next]))
    opener.finish()
    return b"".join(parts)
