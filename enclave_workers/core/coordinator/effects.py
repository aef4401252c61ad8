"""Effects: what ``step`` wants done. The shell seals them; randomness enters only there."""

from __future__ import annotations

from dataclasses import dataclass

from chiron_stream.wire.receipts import Checkpoint, Conflict, Plan
from chiron_stream.wire.replies import Reply
from chiron_stream.wire.serving import Grant, QuerySession
from chiron_stream.wire.tasks import Task
from enclave_workers.core.coordinator.state import ImportEffect, MergeEffect


@dataclass(frozen=True)
class ReplyTo:
    """A sealed reply to a session; ``prk`` is the session's."""

    session: bytes
    prk: bytes
    number: int
    body: Reply


@dataclass(frozen=True)
class RefuseSession:
    """A clear refusal of a session that has no key yet."""

    session: bytes
    code: str


@dataclass(frozen=True)
class WelcomeTo:
    """A Welcome for a boot."""

    boot: bytes
    akd: bytes
    hpke_key: bytes
    secret: bytes


@dataclass(frozen=True)
class Tell:
    """A sealed task for a boot, under its Welcome secret of this epoch."""

    boot: bytes
    secret: bytes
    number: int
    body: Task


@dataclass(frozen=True)
class Broadcast:
    """A record of ``sessions`` under the predictors' key."""

    index: int
    place: int
    body: QuerySession | Grant


@dataclass(frozen=True)
class Certify:
    """A checkpoint to sign and publish, with its leaves."""

    checkpoint: Checkpoint
    leaves: tuple[bytes, ...]


@dataclass(frozen=True)
class Contradict:
    """A conflict of two announcements to sign and publish."""

    conflict: Conflict


@dataclass(frozen=True)
class Disclose:
    """A plan to seal to the policy's auditors."""

    plan: Plan


@dataclass(frozen=True)
class PublishHead:
    """A version's head for ``versions``."""

    version: int
    release: int
    reference: bytes


Effect = (
    ReplyTo
    | RefuseSession
    | WelcomeTo
    | Tell
    | Broadcast
    | Certify
    | Contradict
    | Disclose
    | PublishHead
    | ImportEffect
    | MergeEffect
)
