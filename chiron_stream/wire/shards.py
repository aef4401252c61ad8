"""Shard records: a batch of rows, padded to one of a few classes and sealed.

A record's value::

    header = "CSs1" ‖ session (16) ‖ data set (8) ‖ shard number (8) ‖ index (4) ‖ total (4)
    value  = header ‖ AES-256-GCM(key of the shard, nonce = index, associated data = header)

Numbers are big-endian. The plaintext of all records together is ``length (8) ‖ content ‖ zeros``,
cut into records of equal size. Nothing is compressed before sealing: sizes would tell of content.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, Protocol

from chiron_stream.errors import PolicyRefused, TamperDetected
from chiron_stream.wire import labels
from chiron_stream.wire.crypto import gcm_open, gcm_seal, sha256

_HEADER: Final = struct.Struct(">4s16s8sQII")
_MAGIC: Final = b"CSs1"
_LENGTH: Final = 8


class SizeClass(Protocol):
    """How many records a shard has, and how many plaintext bytes each holds."""

    @property
    def records(self) -> int:
        """Records of a shard."""
        ...

    @property
    def record_bytes(self) -> int:
        """Plaintext bytes of each."""
        ...


class ShardName(NamedTuple):
    """Which shard of which session; ``data_set`` is the session's opaque id, 8 bytes."""

    session: bytes
    data_set: bytes
    number: int


def capacity(size: SizeClass) -> int:
    """Return the content bytes that a shard of this class can hold."""
    return size.records * size.record_bytes - _LENGTH


def seal_shard(
    key: bytes, name: ShardName, content: bytes, classes: Sequence[SizeClass]
) -> list[bytes]:
    """Return the records of a shard, in the smallest class that holds it.

    :param key: the shard's own key; it seals one content, ever.
    :raises PolicyRefused: no class is large enough.
    """
    fitting = [one for one in classes if capacity(one) >= len(content)]
    if not fitting:
        raise PolicyRefused(
            "a shard is too large; nothing was sent",
            code="SHARD_TOO_LARGE",
            expected=f"at most {max(map(capacity, classes))} bytes of packed columns",
            got=str(len(content)),
            hint="publish fewer rows a shard",
        )
    size = min(fitting, key=capacity)
    length = len(content).to_bytes(_LENGTH, "big")
    whole = memoryview(b"".join((length, content, bytes(capacity(size) - len(content)))))
    return [_seal_record(key, name, index, size, whole) for index in range(size.records)]


def _seal_record(
    key: bytes, name: ShardName, index: int, size: SizeClass, padded: memoryview
) -> bytes:
    header = _header(name, index, size.records)
    part = padded[index * size.record_bytes : (index + 1) * size.record_bytes]
    return b"".join((header, gcm_seal(key, index, part, header)))


def record_name(record: bytes) -> tuple[ShardName, int, int] | None:
    """Return shard, index and total that a record claims, or None if it is no shard record."""
    if len(record) < _HEADER.size:
        return None
    magic, session, data_set, number, index, total = _HEADER.unpack_from(record)
    return (ShardName(session, data_set, number), index, total) if magic == _MAGIC else None


def shard_digest(records: Sequence[bytes]) -> bytes:
    """Return the digest over a shard's ciphertexts that its announcement carries."""
    return sha256(labels.SHARD, *records)


def open_shard(
    key: bytes, name: ShardName, digest: bytes, records: Mapping[int, bytes], total: int
) -> bytes:
    """Return the content of a shard.

    :param records: values by their claimed index.
    :raises TamperDetected: a record is missing or not the announced one, or does not open.
    """
    missing = [index for index in range(total) if index not in records]
    if missing:
        raise TamperDetected(
            "records of a shard are missing",
            code="SHARD_MISSING",
            expected=f"{total} records",
            got=f"{total - len(missing)}",
        )
    ordered = [records[index] for index in range(total)]
    if shard_digest(ordered) != digest:
        raise TamperDetected("records differ from what was announced", code="SHARD_DIGEST")
    padded = b"".join(
        gcm_open(key, index, record[_HEADER.size :], _header(name, index, total))
        for index, record in enumerate(ordered)
    )
    return _unpadded(padded)


def _header(name: ShardName, index: int, total: int) -> bytes:
    return _HEADER.pack(_MAGIC, *name, index, total)


def _unpadded(padded: bytes) -> bytes:
    length = int.from_bytes(padded[:_LENGTH], "big")
    if len(padded) < _LENGTH + length or any(padded[_LENGTH + length :]):
        raise TamperDetected("a shard's padding is wrong", code="PADDING")
    return padded[_LENGTH : _LENGTH + length]
