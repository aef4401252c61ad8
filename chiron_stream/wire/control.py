"""Control records: what a party says in its session, sealed, counted and chained.

Nonce = counter (from 1), associated data = header. A resend is the same bytes. The chain starts
with the session open and takes in every record, so that dropping, swapping or splicing shows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Annotated, ClassVar, Final

from chiron_stream.errors import TamperDetected
from chiron_stream.wire import labels
from chiron_stream.wire.crypto import gcm_open, gcm_seal, sha256
from chiron_stream.wire.document import Digest, Document, Id, Limit, union
from chiron_stream.wire.objects import ObjectRef

TOKEN_LIMIT: Final = 256
"""Bytes of a resume token, at most; it means something to its publisher alone."""

FIRST_COUNTER: Final = 1


class Use(IntEnum):
    """What the rows of a shard are for."""

    TRAIN = 1
    EVALUATE = 2


@dataclass(frozen=True)
class ControlHeader(Document):
    """The clear part of a control record."""

    KIND: ClassVar[int] = 4
    session: Id
    counter: int
    previous: Digest


@dataclass(frozen=True)
class ControlRecord(Document):
    """A control record: its header's bytes, and the sealed body."""

    KIND: ClassVar[int] = 5
    header: Annotated[bytes, Limit(256)]
    sealed: Annotated[bytes, Limit(65_536)]


@dataclass(frozen=True)
class Announcement(Document):
    """A shard whose records the broker has acknowledged.

    ``digest`` is over the ciphertexts; partition and first offset are hints. (owner, data set,
    number) is the identity for exactly-once.
    """

    KIND: ClassVar[int] = 6
    number: int
    rows: int
    use: Use
    records: int
    digest: Digest
    partition: int
    first: int
    token: Annotated[bytes, Limit(TOKEN_LIMIT)]


@dataclass(frozen=True)
class Fin(Document):
    """No more shards come: the data set has ``shards`` of them."""

    KIND: ClassVar[int] = 7
    shards: int


@dataclass(frozen=True)
class RecipeManifest(Document):
    """A recipe on ``bulk``: its definition and its weights, under the session's recipe key."""

    KIND: ClassVar[int] = 8
    definition: ObjectRef
    weights: ObjectRef


Body = Announcement | Fin | RecipeManifest
_read_body: Callable[[bytes], Body] = union(Announcement, Fin, RecipeManifest)


def chain_start(session_open: bytes) -> bytes:
    """Return the chain's first link."""
    return sha256(labels.CONTROL_CHAIN, session_open)


def chain_next(previous: bytes, record: bytes) -> bytes:
    """Return the link behind ``record``."""
    return sha256(labels.CONTROL_CHAIN, previous, record)


def seal_control(key: bytes, session: bytes, counter: int, previous: bytes, body: Body) -> bytes:
    """Return the record's bytes; a counter is sealed once, a resend repeats the bytes."""
    header = ControlHeader(session, counter, previous).pack()
    return ControlRecord(header, gcm_seal(key, counter, body.pack(), header)).pack()


def read_header(record: ControlRecord) -> ControlHeader:
    """Return the header of a record; nothing of it is verified yet."""
    return ControlHeader.unpack(record.header)


def open_control(
    key: bytes, record: ControlRecord, *, session: bytes, counter: int, previous: bytes
) -> Body:
    """Return the body of the record that a session is waiting for.

    :raises TamperDetected: another session, counter or chain, or it does not open.
    """
    header = read_header(record)
    if header.session != session or header.counter != counter:
        raise TamperDetected(
            "a control record out of sequence",
            code="SEQUENCE",
            expected=f"counter {counter}",
            got=f"counter {header.counter}",
        )
    if header.previous != previous:
        raise TamperDetected("a control record of another chain", code="CHAIN")
    return _read_body(gcm_open(key, counter, record.sealed, record.header))
