"""Receipts: signed public checkpoints and conflicts, and each round's plan sealed to the auditor.

A checkpoint says which shards entered a version: a leaf for each, and their root under the
coordinator's signature. Two checkpoints of one index or version that differ prove misbehaviour
offline. The parameters appear only as a commitment keyed from K: a plain digest would let operator
and provider test guessed rows against it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

from chiron_stream.errors import TamperDetected
from chiron_stream.wire import labels
from chiron_stream.wire.crypto import XWingPrivateKey, hpke_seal, sha256, verified
from chiron_stream.wire.document import (
    Digest,
    Document,
    Id,
    Limit,
    Name,
    PublicKey,
    Signature,
    union,
)


@dataclass(frozen=True)
class Checkpoint(Document):
    """State of the job behind one round. Counts are of shards; ``rows`` are not shown.

    ``root``: :func:`leaves_root` of the leaves; ``commitment``: HMAC-like value keyed from K over
    the version's digest; ``previous``: hash of the checkpoint before (zeros: none). ``disclosed``:
    bits about training that were charged to the provider so far; ``scored``: scores that owners
    were granted, in number, since their bits would show how many rows are for evaluation.
    """

    KIND: ClassVar[int] = 84
    job: Digest
    policy_version: int
    policy_head: Digest
    epoch: int
    index: int
    journal_head: Digest
    round: int
    version: int
    release: int
    accepted: int
    trained: int
    void: int
    parked: int
    finished: bool
    disclosed: int
    scored: int
    root: Digest
    commitment: Digest
    previous: Digest


@dataclass(frozen=True)
class CheckpointRecord(Document):
    """A checkpoint's bytes, the leaves of its root, its signer's document hash and signature."""

    KIND: ClassVar[int] = 85
    checkpoint: Annotated[bytes, Limit(2048)]
    leaves: tuple[Digest, ...]
    signer: Digest
    signature: Signature


@dataclass(frozen=True)
class PlannedShard(Document):
    """A shard as it was used: its identity and rows."""

    KIND: ClassVar[int] = 86
    owner: PublicKey
    data_set: Name
    number: int
    rows: int


@dataclass(frozen=True)
class PlannedSlot(Document):
    """A slot as executed: shards in order, seed, first global step, rows, steps, the numerics."""

    KIND: ClassVar[int] = 87
    slot: int
    seed: int
    first_step: int
    shards: tuple[PlannedShard, ...]
    rows: int
    steps: int
    numerics: Name
    result: Digest
    parameters: Digest


@dataclass(frozen=True)
class Plan(Document):
    """A round as executed, after VOID and PARKED; digests are plain (the auditor's only).

    ``base`` and ``result`` are over the whole state, ``parameters`` over parameters and buffers.
    """

    KIND: ClassVar[int] = 88
    round: int
    version: int
    base: Digest
    result: Digest
    parameters: Digest
    slots: tuple[PlannedSlot, ...]


@dataclass(frozen=True)
class PlanRecord(Document):
    """A plan, sealed to one auditor's X-Wing key, with its signer's document hash and signature."""

    KIND: ClassVar[int] = 89
    round: int
    auditor: PublicKey
    sealed: Annotated[bytes, Limit(900_000)]
    signer: Digest
    signature: Signature


@dataclass(frozen=True)
class Conflict(Document):
    """A shard number was announced twice with other content: the leaf that stands, and the other's.

    ``index`` and ``journal_head`` say where the journal stands with the second announcement.
    """

    KIND: ClassVar[int] = 92
    job: Digest
    policy_version: int
    policy_head: Digest
    epoch: int
    index: int
    journal_head: Digest
    first: Digest
    second: Digest


@dataclass(frozen=True)
class ConflictRecord(Document):
    """A conflict's bytes, its signer's document hash and signature."""

    KIND: ClassVar[int] = 93
    conflict: Annotated[bytes, Limit(1024)]
    signer: Digest
    signature: Signature


read_record: Callable[[bytes], CheckpointRecord | PlanRecord | ConflictRecord] = union(
    CheckpointRecord, PlanRecord, ConflictRecord
)


def shard_leaf(session: bytes, number: int, digest: bytes) -> bytes:
    """Return the leaf of a shard; its owner knows all three, the operator learns nothing new."""
    return sha256(labels.SHARD_LEAF, session, number.to_bytes(8, "big"), digest)


def leaves_root(leaves: Sequence[bytes]) -> bytes:
    """Return the root over leaves in order."""
    return sha256(labels.SHARD_NODE, *leaves)


def checkpoint_hash(packed: bytes) -> bytes:
    """Return the hash that the next checkpoint, evidence and answers name."""
    return sha256(labels.CHECKPOINT, packed)


def sign_checkpoint(
    checkpoint: Checkpoint,
    leaves: Sequence[bytes],
    signer: bytes,
    sign: Callable[[bytes, bytes], bytes],
) -> bytes:
    """Return the record of a checkpoint.

    :param signer: hash of the coordinator's attested key document.
    """
    packed = checkpoint.pack()
    message = sha256(labels.SIGN_CHECKPOINT, packed, signer)
    signature = sign(labels.SIGN_CHECKPOINT, message)
    return CheckpointRecord(packed, tuple(leaves), signer, signature).pack()


def read_checkpoint(record: CheckpointRecord, signing_key: bytes) -> Checkpoint:
    """Return a checkpoint signed by an appraised coordinator's boot key.

    :raises TamperDetected: the signature or the root is wrong.
    """
    message = sha256(labels.SIGN_CHECKPOINT, record.checkpoint, record.signer)
    if not verified(signing_key, labels.SIGN_CHECKPOINT, message, record.signature):
        raise TamperDetected("a checkpoint with a bad signature", code="SIGNATURE")
    checkpoint = Checkpoint.unpack(record.checkpoint)
    if checkpoint.root != leaves_root(record.leaves):
        raise TamperDetected("a checkpoint's leaves are not its root's", code="RECEIPT_ROOT")
    return checkpoint


def sign_conflict(
    conflict: Conflict, signer: bytes, sign: Callable[[bytes, bytes], bytes]
) -> bytes:
    """Return the record of a conflict.

    :param signer: hash of the coordinator's attested key document.
    """
    packed = conflict.pack()
    signature = sign(labels.SIGN_CONFLICT, sha256(labels.SIGN_CONFLICT, packed, signer))
    return ConflictRecord(packed, signer, signature).pack()


def read_conflict(record: ConflictRecord, signing_key: bytes) -> Conflict:
    """Return a conflict signed by an appraised coordinator's boot key.

    :raises TamperDetected: the signature is wrong.
    """
    message = sha256(labels.SIGN_CONFLICT, record.conflict, record.signer)
    if not verified(signing_key, labels.SIGN_CONFLICT, message, record.signature):
        raise TamperDetected("a conflict with a bad signature", code="SIGNATURE")
    return Conflict.unpack(record.conflict)


def _plan_context(job: bytes, auditor: bytes, number: int) -> bytes:
    return sha256(labels.INFO_PLAN, job, auditor, number.to_bytes(8, "big"))


def seal_plan(
    auditor: bytes,
    auditor_key: bytes,
    job: bytes,
    plan: Plan,
    signer: bytes,
    sign: Callable[[bytes, bytes], bytes],
) -> bytes:
    """Return the record of a plan for one auditor.

    :param auditor: its identity; ``auditor_key``: its X-Wing key.
    :param signer: hash of the coordinator's attested key document.
    """
    context = _plan_context(job, auditor, plan.round)
    sealed = hpke_seal(auditor_key, plan.pack(), labels.INFO_PLAN + context)
    signature = sign(labels.SIGN_PLAN, sha256(labels.SIGN_PLAN, context, sealed, signer))
    return PlanRecord(plan.round, auditor, sealed, signer, signature).pack()


def open_plan(record: PlanRecord, job: bytes, key: XWingPrivateKey, signing_key: bytes) -> Plan:
    """Return a plan that an appraised coordinator's boot key signed, with the auditor's key.

    :raises TamperDetected: the signature is wrong, or it is for another auditor, job or round.
    """
    context = _plan_context(job, record.auditor, record.round)
    message = sha256(labels.SIGN_PLAN, context, record.sealed, record.signer)
    if not verified(signing_key, labels.SIGN_PLAN, message, record.signature):
        raise TamperDetected("a plan with a bad signature", code="SIGNATURE")
    plan = Plan.unpack(key.open(record.sealed, labels.INFO_PLAN + context))
    if plan.round != record.round:
        raise TamperDetected("a plan of another round than its record", code="PLAN_ROUND")
    return plan


@dataclass(frozen=True)
class VersionHead(Document):
    """On ``versions``: a committed version, sealed under a key from K."""

    KIND: ClassVar[int] = 90
    version: int
    release: int
    sealed: Annotated[bytes, Limit(4096)]


@dataclass(frozen=True)
class Rejected(Document):
    """On ``rejected``: a record that could not be taken, for a reason visible without a key."""

    KIND: ClassVar[int] = 91
    topic: Name
    partition: int
    offset: int
    code: Name
    digest: Digest
    by: Id
