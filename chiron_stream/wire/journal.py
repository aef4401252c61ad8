"""The journal: the total order of everything the coordinator consumed or decided.

Record 0 is the Genesis, in clear: the policy, and the job's key K as the TEE sealed it. Each later
record is ``header ‖ AES-256-GCM(event)`` under a key of (epoch, incarnation), nonce = index,
associated data = header; the header names the hash of the record before. An incarnation is 32
random bytes of one start, so that a replayed history never meets a nonce twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Final

from chiron_stream.errors import TamperDetected
from chiron_stream.wire import labels
from chiron_stream.wire.crypto import derive, gcm_open, gcm_seal, sha256
from chiron_stream.wire.document import Digest, Document, Limit

EVENT_LIMIT: Final = 256 * 1024
"""Bytes of an event, at most; what is larger is rejected before it is journalled."""


@dataclass(frozen=True)
class Genesis(Document):
    """Record 0. ``policy`` is the genesis policy's bytes."""

    KIND: ClassVar[int] = 80
    policy: Annotated[bytes, Limit(700_000)]
    sealed_key: Annotated[bytes, Limit(1024)]


@dataclass(frozen=True)
class EntryHeader(Document):
    """The clear part of an entry."""

    KIND: ClassVar[int] = 81
    epoch: int
    incarnation: Digest
    index: int
    previous: Digest


@dataclass(frozen=True)
class Entry(Document):
    """A journal record behind the Genesis."""

    KIND: ClassVar[int] = 82
    header: Annotated[bytes, Limit(256)]
    sealed: Annotated[bytes, Limit(EVENT_LIMIT + 1024)]


@dataclass(frozen=True)
class Activation(Document):
    """On ``authority``: an epoch's coordinator, with its evidence, behind ``previous``."""

    KIND: ClassVar[int] = 83
    epoch: int
    index: int
    previous: Digest
    akd: Annotated[bytes, Limit(8192)]
    evidence: Annotated[bytes, Limit(131_072)]


def head_of(record: bytes) -> bytes:
    """Return the hash that the next record's header names."""
    return sha256(labels.JOURNAL_CHAIN, record)


class Sealer:
    """Seals the entries of one incarnation, in order.

    :param key: K.
    :param index: of the next entry; ``head``: hash of the record before it.
    """

    def __init__(self, key: bytes, epoch: int, incarnation: bytes, index: int, head: bytes) -> None:
        self._key = derive(key, labels.K_JOURNAL, epoch, incarnation)
        self._epoch = epoch
        self._incarnation = incarnation
        self.index = index
        self.head = head

    def seal(self, event: bytes) -> bytes:
        """Return the next record and move on."""
        if len(event) > EVENT_LIMIT:
            raise TamperDetected(
                "an event is too large to be journalled",
                code="EVENT_SIZE",
                expected=f"at most {EVENT_LIMIT} bytes",
                got=str(len(event)),
            )
        header = EntryHeader(self._epoch, self._incarnation, self.index, self.head).pack()
        record = Entry(header, gcm_seal(self._key, self.index, event, header)).pack()
        self.index += 1
        self.head = head_of(record)
        return record


def open_entry(key: bytes, record: bytes, *, index: int, head: bytes) -> tuple[EntryHeader, bytes]:
    """Return header and event of the record that must come next.

    :raises TamperDetected: another index or predecessor, or it does not open; says where.
    """
    entry = Entry.unpack(record)
    header = EntryHeader.unpack(entry.header)
    if header.index != index or header.previous != head:
        raise TamperDetected(
            f"the journal does not verify at index {index}",
            code="JOURNAL_CHAIN",
            expected=f"index {index} behind the record before",
            got=f"index {header.index}",
        )
    secret = derive(key, labels.K_JOURNAL, header.epoch, header.incarnation)
    try:
        return header, gcm_open(secret, index, entry.sealed, entry.header)
    except TamperDetected as error:
        raise TamperDetected(
            f"the journal does not verify at index {index}", code="JOURNAL_SEAL"
        ) from error
