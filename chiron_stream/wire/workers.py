"""What workers say: joins and reports on ``workers`` and ``updates``, heartbeats on ``presence``.

A report is sealed under the boot's Welcome secret and signed by its boot key over job, policy head,
epoch, boot and number, so that nothing of one boot, epoch or number passes for another's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Annotated, ClassVar, Protocol

from chiron_stream.errors import TamperDetected
from chiron_stream.wire import labels
from chiron_stream.wire.canonical import encode
from chiron_stream.wire.crypto import derive, seal, sha256, unseal, verified
from chiron_stream.wire.document import (
    Digest,
    Document,
    Fixed,
    Id,
    Limit,
    Name,
    Signature,
    to_map,
    union,
)
from chiron_stream.wire.objects import ObjectRef


@dataclass(frozen=True)
class Join(Document):
    """A worker's attested key document and its evidence, as packed bytes."""

    KIND: ClassVar[int] = 40
    akd: Annotated[bytes, Limit(8192)]
    evidence: Annotated[bytes, Limit(131_072)]


class Outcome(IntEnum):
    """What became of a slot."""

    TRAINED = 1
    VOID = 2
    PARKED = 3


@dataclass(frozen=True)
class ShardFault(Document):
    """A shard of the task, by its place in it, that cannot be used, and why."""

    KIND: ClassVar[int] = 41
    place: int
    reason: Annotated[str, Limit(300)]


@dataclass(frozen=True)
class SlotResult(Document):
    """What a trainer found: the slot's final values, or shards that stand in the way.

    ``digest`` is over the update's plain bytes, ``parameters`` over parameters and buffers alone;
    ``numerics`` names the class that the numbers were made in. ``loss`` and ``gradient`` are a
    level and a bucket (:mod:`chiron_stream.job.measures`); 0 where the policy does not grant them.
    """

    KIND: ClassVar[int] = 42
    task: Digest
    outcome: Outcome
    update: ObjectRef | None
    digest: Digest
    parameters: Digest
    rows: int
    steps: int
    faults: tuple[ShardFault, ...]
    numerics: Name
    loss: Fixed = bytes(8)
    gradient: int = 0


@dataclass(frozen=True)
class Evaluated(Document):
    """What a trainer found of an evaluation: a score, or shards that stand in the way.

    ``value``: correct predictions, or steps of an error (:mod:`chiron_stream.job.measures`).
    """

    KIND: ClassVar[int] = 58
    task: Digest
    outcome: Outcome
    rows: int
    value: Fixed
    faults: tuple[ShardFault, ...]
    numerics: Name


@dataclass(frozen=True)
class GrantRequest(Document):
    """A predictor asks to answer some queries of a session."""

    KIND: ClassVar[int] = 43
    session: Id


@dataclass(frozen=True)
class Ready(Document):
    """A trainer can be leased slots; ``numerics`` names the class that it computes in."""

    KIND: ClassVar[int] = 49
    numerics: Name


@dataclass(frozen=True)
class Leaving(Document):
    """A worker was asked to end: whatever it was leased is for others."""

    KIND: ClassVar[int] = 56


@dataclass(frozen=True)
class ReportRecord(Document):
    """A sealed, signed report of one boot; ``number`` counts its reports from 0."""

    KIND: ClassVar[int] = 44
    boot: Id
    epoch: int
    number: int
    sealed: Annotated[bytes, Limit(65_536)]
    signature: Signature


@dataclass(frozen=True)
class PresenceRecord(Document):
    """A sealed heartbeat of one boot; ``number`` rises."""

    KIND: ClassVar[int] = 45
    boot: Id
    epoch: int
    number: int
    sealed: Annotated[bytes, Limit(512)]


@dataclass(frozen=True)
class Heartbeat(Document):
    """What a heartbeat says: the task at hand (zeros: none) and its step."""

    KIND: ClassVar[int] = 48
    task: Digest
    step: int


Report = SlotResult | Evaluated | GrantRequest | Ready | Leaving
_read_report: Callable[[bytes], Report] = union(SlotResult, Evaluated, GrantRequest, Ready, Leaving)
read_record: Callable[[bytes], Join | ReportRecord] = union(Join, ReportRecord)


Sign = Callable[[bytes, bytes], bytes]
"""Signs (label, message) with a boot key."""


class SignedRecord(Protocol):
    """A record with a sealed content and its sender's signature."""

    KIND: ClassVar[int]

    @property
    def number(self) -> int:
        """Counts the messages of this kind to or from the boot."""
        ...

    @property
    def sealed(self) -> bytes:
        """The sealed content."""
        ...

    @property
    def signature(self) -> bytes:
        """The sender's signature."""
        ...


@dataclass(frozen=True)
class Scope:
    """What a worker message is about: part of every signature and context."""

    job: bytes
    policy_head: bytes
    epoch: int
    boot: bytes

    def context(self, kind: int, number: int) -> bytes:
        """Return the associated data of a message of this kind and number."""
        return encode(
            {0: kind, 1: self.job, 2: self.policy_head, 3: self.epoch, 4: self.boot, 5: number}
        )


def seal_signed(
    key: bytes, scope: Scope, kind: int, number: int, content: bytes, sign: Sign
) -> tuple[bytes, bytes]:
    """Return content sealed under a key of the boot's Welcome secret, and the sender's signature.

    Both bind ``scope``, kind and number. :func:`open_signed` is the way back.
    """
    context = scope.context(kind, number)
    sealed = seal(key, context, content)
    return sealed, sign(labels.SIGN_WORKER, sha256(labels.SIGN_WORKER, context, sealed))


def open_signed(key: bytes, signing_key: bytes, scope: Scope, record: SignedRecord) -> bytes:
    """Return the content of a record that :func:`seal_signed` made.

    The caller has compared the record's boot and epoch with ``scope``.

    :param signing_key: the sender's boot key, of an appraised document.
    :raises TamperDetected: the signature is another's, or it does not open.
    """
    context = scope.context(record.KIND, record.number)
    message = sha256(labels.SIGN_WORKER, context, record.sealed)
    if not verified(signing_key, labels.SIGN_WORKER, message, record.signature):
        raise TamperDetected("a worker message with a bad signature", code="SIGNATURE")
    return unseal(key, context, record.sealed)


def seal_report(secret: bytes, scope: Scope, number: int, body: Report, sign: Sign) -> bytes:
    """Return the record of a report.

    :param secret: the boot's Welcome secret of this epoch.
    :param sign: signs (label, message) with the boot key.
    """
    key, content = derive(secret, labels.WELCOME_REPORTS), encode(to_map(body))
    sealed, signature = seal_signed(key, scope, ReportRecord.KIND, number, content, sign)
    return ReportRecord(scope.boot, scope.epoch, number, sealed, signature).pack()


def open_report(secret: bytes, signing_key: bytes, scope: Scope, record: ReportRecord) -> Report:
    """Return what a boot reported.

    :raises TamperDetected: the signature is not the boot's, or the report does not open.
    """
    key = derive(secret, labels.WELCOME_REPORTS)
    return _read_report(open_signed(key, signing_key, scope, record))


def seal_presence(secret: bytes, scope: Scope, number: int, beat: Heartbeat) -> bytes:
    """Return the record of a heartbeat."""
    context = scope.context(PresenceRecord.KIND, number)
    sealed = seal(derive(secret, labels.WELCOME_PRESENCE), context, beat.pack())
    return PresenceRecord(scope.boot, scope.epoch, number, sealed).pack()


def open_presence(secret: bytes, scope: Scope, record: PresenceRecord) -> Heartbeat:
    """Return a heartbeat.

    :raises TamperDetected: it does not open.
    """
    context = scope.context(PresenceRecord.KIND, record.number)
    key = derive(secret, labels.WELCOME_PRESENCE)
    return Heartbeat.unpack(unseal(key, context, record.sealed))
