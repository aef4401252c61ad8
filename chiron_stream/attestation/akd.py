"""The attested key document (AKD): which keys a worker's boot holds, and for what.

::

    REPORTDATA = SHA-256(AKD label ‖ length ‖ AKD) ‖ challenge (32 bytes) or zeros

The TEE signs REPORTDATA beside the measurement; so whoever appraises a quote knows that the
measured code made this document. Without a challenge the evidence says that the boot existed at
some time, not that it runs now: ``freshness: local``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Final

from chiron_stream.attestation.evidence import XWingPublicKey
from chiron_stream.wire import labels
from chiron_stream.wire.crypto import sha256
from chiron_stream.wire.document import Digest, Document, Id, Name, PublicKey, Range

AKD_VERSION: Final = 1
CHALLENGE: Final = 32
"""Bytes of a relying party's challenge."""

NO_CHALLENGE: Final = bytes(CHALLENGE)
NO_CHECKPOINT: Final = bytes(32)
"""In place of a checkpoint's hash while there is none."""

MAX_LIFETIME: Final = 24 * 3600
"""Longest time from ``not_before`` to ``not_after``, in seconds."""


@dataclass(frozen=True)
class AttestedKeyDocument(Document):
    """The claims of one boot of a worker; true only when the evidence beside it is appraised.

    :param job_id: the job it works for, under ``policy_version`` and ``policy_head``.
    :param hpke_key: X-Wing public key: what is sealed to it only this boot opens.
    :param signing_key: Ed25519 public key of this boot.
    :param boot: random id, made at start together with the keys.
    :param not_before: seconds since 1970, included.
    :param not_after: seconds since 1970, excluded.
    :param checkpoint: hash of the newest checkpoint it knows, or :data:`NO_CHECKPOINT`.
    :param epoch: of the coordinator that starts; as ``state_version`` and ``journal_head`` there
        for a coordinator and ``None`` for every other role.
    """

    KIND: ClassVar[int] = 203

    version: Annotated[int, Range(AKD_VERSION, AKD_VERSION)]
    profile: Name
    role: Name
    job_id: Digest
    policy_version: int
    policy_head: Digest
    hpke_key: XWingPublicKey
    signing_key: PublicKey
    boot: Id
    not_before: int
    not_after: int
    checkpoint: Digest
    epoch: int | None
    state_version: int | None
    journal_head: Digest | None


def akd_hash(packed: bytes) -> bytes:
    """Return the hash that names a packed AKD, in sessions, welcomes and activations."""
    return sha256(labels.AKD, packed)


def report_data(packed: bytes, challenge: bytes = NO_CHALLENGE) -> bytes:
    """Return the 64 bytes of REPORTDATA for a packed AKD.

    :raises ValueError: the challenge has another length than :data:`CHALLENGE`.
    """
    if len(challenge) != CHALLENGE:
        raise ValueError(f"a challenge has {CHALLENGE} bytes")
    return akd_hash(packed) + challenge
