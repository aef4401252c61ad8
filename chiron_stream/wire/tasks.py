"""What the coordinator tells workers, on ``tasks``: Welcome, slots, evaluations, releases.

Everything is signed by the coordinator's boot key and names job, policy head, epoch, recipient and
number. A Welcome brings 32 random bytes by HPKE; all later tasks are sealed under them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, ClassVar

from chiron_stream.errors import TamperDetected
from chiron_stream.wire import labels
from chiron_stream.wire.canonical import encode
from chiron_stream.wire.crypto import (
    XWingPrivateKey,
    derive,
    hpke_seal,
    sha256,
    verified,
)
from chiron_stream.wire.document import Digest, Document, Id, Limit, Signature, to_map, union
from chiron_stream.wire.objects import ObjectRef
from chiron_stream.wire.workers import Scope, Sign, open_signed, seal_signed


@dataclass(frozen=True)
class Welcome(Document):
    """A secret for one boot in one epoch, sealed to its X-Wing key."""

    KIND: ClassVar[int] = 50
    boot: Id
    epoch: int
    coordinator: Digest
    enc: Annotated[bytes, Limit(2048)]
    signature: Signature


@dataclass(frozen=True)
class KeyedObject(Document):
    """An object and the key that opens it."""

    KIND: ClassVar[int] = 51
    ref: ObjectRef
    key: Digest


@dataclass(frozen=True)
class ShardGrant(Document):
    """One shard of a slot: what it must be, a hint where it is, and its own key."""

    KIND: ClassVar[int] = 52
    session: Id
    data_set: Annotated[bytes, Limit(8)]
    number: int
    rows: int
    records: int
    digest: Digest
    partition: int
    first: int
    key: Digest


@dataclass(frozen=True)
class SlotTask(Document):
    """A slot to train. ``task`` is its id; the update is sealed under ``update_key``.

    ``seed`` seeds row order and dropout; ``first_step`` is the global step of its first batch.
    """

    KIND: ClassVar[int] = 53
    task: Digest
    round: int
    slot: int
    definition: KeyedObject
    base: KeyedObject
    seed: int
    first_step: int
    shards: tuple[ShardGrant, ...]
    update_key: Digest


@dataclass(frozen=True)
class EvaluateTask(Document):
    """A release to evaluate on one owner's shards. ``task`` is its id."""

    KIND: ClassVar[int] = 57
    task: Digest
    release: int
    definition: KeyedObject
    state: KeyedObject
    shards: tuple[ShardGrant, ...]


@dataclass(frozen=True)
class Serve(Document):
    """A release to serve, and the key of the ``sessions`` topic."""

    KIND: ClassVar[int] = 54
    release: int
    version: int
    checkpoint: Digest
    definition: KeyedObject
    state: KeyedObject
    sessions_key: Digest


@dataclass(frozen=True)
class TaskRecord(Document):
    """A sealed, signed task for one boot; ``number`` counts the boot's tasks from 0."""

    KIND: ClassVar[int] = 55
    boot: Id
    epoch: int
    number: int
    sealed: Annotated[bytes, Limit(250_000)]
    signature: Signature


Task = SlotTask | EvaluateTask | Serve
_read_task: Callable[[bytes], Task] = union(SlotTask, EvaluateTask, Serve)
read_record: Callable[[bytes], Welcome | TaskRecord] = union(Welcome, TaskRecord)


def _welcome_info(scope: Scope, coordinator: bytes, worker: bytes) -> bytes:
    return labels.INFO_WELCOME + sha256(
        labels.INFO_WELCOME, scope.context(Welcome.KIND, 0), coordinator, worker
    )


def seal_welcome(
    scope: Scope, coordinator: bytes, worker: bytes, worker_key: bytes, secret: bytes, sign: Sign
) -> bytes:
    """Return the Welcome of an appraised boot.

    :param coordinator: hash of the coordinator's attested key document; ``worker``: of the boot's.
    :param worker_key: the boot's X-Wing key; ``secret``: 32 random bytes.
    """
    info = _welcome_info(scope, coordinator, worker)
    enc = hpke_seal(worker_key, secret, info)
    signature = sign(labels.SIGN_WELCOME, sha256(labels.SIGN_WELCOME, info, enc))
    return Welcome(scope.boot, scope.epoch, coordinator, enc, signature).pack()


def open_welcome(
    record: Welcome,
    scope: Scope,
    coordinator: bytes,
    coordinator_signing_key: bytes,
    worker: bytes,
    key: XWingPrivateKey,
) -> bytes:
    """Return the secret of a Welcome from an appraised coordinator.

    :raises TamperDetected: it is another coordinator's, or does not open.
    """
    info = _welcome_info(scope, coordinator, worker)
    message = sha256(labels.SIGN_WELCOME, info, record.enc)
    if not verified(coordinator_signing_key, labels.SIGN_WELCOME, message, record.signature):
        raise TamperDetected("a Welcome with a bad signature", code="SIGNATURE")
    return key.open(record.enc, info)


def seal_task(secret: bytes, scope: Scope, number: int, body: Task, sign: Sign) -> bytes:
    """Return the record of a task, under the boot's Welcome secret."""
    key, content = derive(secret, labels.WELCOME_TASKS), encode(to_map(body))
    sealed, signature = seal_signed(key, scope, TaskRecord.KIND, number, content, sign)
    return TaskRecord(scope.boot, scope.epoch, number, sealed, signature).pack()


def open_task(
    secret: bytes, coordinator_signing_key: bytes, scope: Scope, record: TaskRecord
) -> Task:
    """Return what the coordinator asks of this boot.

    :raises TamperDetected: the signature is not the coordinator's, or it does not open.
    """
    key = derive(secret, labels.WELCOME_TASKS)
    return _read_task(open_signed(key, coordinator_signing_key, scope, record))
