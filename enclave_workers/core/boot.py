"""A boot: the keys that a core makes at its start, and the document that its evidence covers."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from chiron_stream.attestation.akd import AttestedKeyDocument, akd_hash, report_data
from chiron_stream.job.file import Job
from chiron_stream.wire.crypto import XWING_SEED, XWingPrivateKey, sign
from enclave_workers.core.tee import Tee

LIFETIME: Final = 12 * 60 * 60
"""Seconds that a boot's keys are good for."""

_BACKDATE: Final = 300
"""Seconds by which clocks may differ."""


@dataclass(frozen=True)
class CoordinatorFacts:
    """What the coordinator's document holds besides: its epoch and where its journal stands."""

    epoch: int
    state_version: int
    journal_head: bytes


class Boot:
    """Keys of one start: never stored, gone with the process.

    :param now: Unix seconds, as the courier says; appraisers have clocks of their own.
    """

    def __init__(
        self,
        job: Job,
        role: str,
        tee: Tee,
        now: int,
        *,
        checkpoint: bytes = bytes(32),
        facts: CoordinatorFacts | None = None,
    ) -> None:
        self.hpke = XWingPrivateKey(os.urandom(XWING_SEED))
        self._signing = Ed25519PrivateKey.generate()
        self.id = os.urandom(16)
        document = AttestedKeyDocument(
            version=1,
            profile=tee.profile,
            role=role,
            job_id=job.job_id,
            policy_version=job.policy.version,
            policy_head=job.head,
            hpke_key=self.hpke.public,
            signing_key=self._signing.public_key().public_bytes_raw(),
            boot=self.id,
            not_before=now - _BACKDATE,
            not_after=now + LIFETIME,
            checkpoint=checkpoint,
            epoch=None if facts is None else facts.epoch,
            state_version=None if facts is None else facts.state_version,
            journal_head=None if facts is None else facts.journal_head,
        )
        self.akd = document.pack()
        self.hash = akd_hash(self.akd)
        self.evidence = tee.evidence(report_data(self.akd)).pack()

    def sign(self, label: bytes, message: bytes) -> bytes:
        """Sign with the boot key."""
        return sign(self._signing, label, message)
