"""Parties, boots and sessions that everything agrees on, to break one clause at a time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from chiron_stream.wire.crypto import SUITE, XWingPrivateKey, sign
from chiron_stream.wire.objects import ObjectRef
from chiron_stream.wire.session import (
    Hello,
    Intent,
    Purpose,
    SessionKeys,
    SessionOpen,
    open_session,
)
from chiron_stream.wire.workers import Scope


class Signer:
    """An Ed25519 key from a number."""

    def __init__(self, number: int) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32)
        self.public = self._key.public_key().public_bytes_raw()

    def sign(self, label: bytes, message: bytes) -> bytes:
        return sign(self._key, label, message)


OWNER, STRANGER, COORDINATOR, TRAINER = Signer(1), Signer(2), Signer(3), Signer(4)
COORDINATOR_HPKE, OTHER_HPKE, TRAINER_HPKE, AUDITOR_HPKE = (
    XWingPrivateKey(bytes([number]) * 32) for number in (11, 12, 13, 14)
)
JOB, OTHER_JOB, HEAD, OTHER_HEAD = (bytes([number]) * 32 for number in (21, 22, 23, 24))
COORDINATOR_AKD, TRAINER_AKD, OTHER_AKD = (bytes([number]) * 32 for number in (31, 32, 33))
BOOT, OTHER_BOOT = bytes([41]) * 16, bytes([42]) * 16
KEY, OTHER_KEY = bytes([51]) * 32, bytes([52]) * 32
SECRET, OTHER_SECRET = bytes([61]) * 32, bytes([62]) * 32

SCOPE = Scope(JOB, HEAD, 3, BOOT)
OTHER_SCOPES = {
    "job": replace(SCOPE, job=OTHER_JOB),
    "policy head": replace(SCOPE, policy_head=OTHER_HEAD),
    "epoch": replace(SCOPE, epoch=4),
    "boot": replace(SCOPE, boot=OTHER_BOOT),
}

HELLO = Hello(
    suite=SUITE,
    coordinator=COORDINATOR_AKD,
    identity=OWNER.public,
    job=JOB,
    policy_version=1,
    policy_head=HEAD,
    purpose=Purpose.PUBLISH,
    opened_at=1_800_000_000,
    answer_partition=2,
)
REF = ObjectRef("bulk", 0, 5, 7, bytes([71]) * 16, 3, 2_000_000, bytes([72]) * 32)


def opened(
    secret: bytes = SECRET, hello: Hello = HELLO, data_set: str = "icu"
) -> tuple[SessionOpen, SessionKeys]:
    """Return a session open of the owner, and its keys."""
    return open_session(hello, Intent(data_set), COORDINATOR_HPKE.public, secret, OWNER.sign)


def signed_again(record: SessionOpen, signer: Signer = OWNER, **parts: Any) -> SessionOpen:
    """Return an open with some parts replaced, under a good signature of its party."""
    from chiron_stream.wire import labels

    changed = replace(record, **parts)
    return replace(changed, signature=signer.sign(labels.SIGN_SESSION, changed.signed))
