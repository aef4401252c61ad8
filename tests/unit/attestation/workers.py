"""Workers to appraise: genuine by default, and with one thing changed at a time."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from chiron_stream.attestation.akd import AttestedKeyDocument, report_data
from chiron_stream.attestation.appraisal import Appraised, appraise
from chiron_stream.attestation.evidence import (
    COORDINATOR,
    SIMULATED,
    TRAINER,
    Evidence,
    EvidencePolicy,
    RoleMeasurements,
)
from chiron_stream.simulation.authority import Authority
from chiron_stream.simulation.platform import HONEST, Platform
from chiron_stream.wire.crypto import XWingPrivateKey

NOW = 1_800_000_000
HOUR = 3600
JOB = bytes([1]) * 32
HEAD = bytes([2]) * 32
MEASUREMENT = hashlib.sha256(b"a trainer").digest()
OTHER_MEASUREMENT = hashlib.sha256(b"a coordinator").digest()
SIGNING_KEY = Ed25519PrivateKey.from_private_bytes(bytes([3]) * 32)
HPKE_KEY = XWingPrivateKey(bytes([4]) * 32)

DOCUMENT = AttestedKeyDocument(
    version=1,
    profile=SIMULATED,
    role=TRAINER,
    job_id=JOB,
    policy_version=0,
    policy_head=HEAD,
    hpke_key=HPKE_KEY.public,
    signing_key=SIGNING_KEY.public_key().public_bytes_raw(),
    boot=bytes([5]) * 16,
    not_before=NOW - 60,
    not_after=NOW + 8 * HOUR,
    checkpoint=bytes(32),
    epoch=None,
    state_version=None,
    journal_head=None,
)


@dataclass(frozen=True)
class Worker:
    """A worker under an authority; :meth:`appraise` holds it against a policy that expects it."""

    authority: Authority
    document: AttestedKeyDocument = DOCUMENT
    measurement: bytes = MEASUREMENT
    platform: Platform = HONEST

    def but(self, **fields: Any) -> Worker:
        """Return a worker whose document differs in these fields."""
        return replace(self, document=replace(self.document, **fields))

    def on(self, **fields: Any) -> Worker:
        """Return the same worker on a platform that differs in these fields."""
        return replace(self, platform=replace(self.platform, **fields))

    def evidence(self) -> Evidence:
        data = report_data(self.document.pack())
        return self.authority.evidence(self.measurement, data, NOW, self.platform)

    def policy(self, **fields: Any) -> EvidencePolicy:
        policy = EvidencePolicy(
            profile=SIMULATED,
            root_digest=hashlib.sha256(self.authority.root_der).digest(),
            service_key=self.authority.service().public,
            measurements=(
                RoleMeasurements(TRAINER, (MEASUREMENT,)),
                RoleMeasurements(COORDINATOR, (OTHER_MEASUREMENT,)),
            ),
            statuses=("UpToDate",),
            minimum_evaluation_number=1,
        )
        return replace(policy, **fields)

    def appraise(
        self,
        *,
        evidence: Evidence | None = None,
        akd: bytes | None = None,
        policy: EvidencePolicy | None = None,
        role: str = TRAINER,
        now: int = NOW,
        allow_simulation: bool = True,
    ) -> Appraised:
        return appraise(
            evidence or self.evidence(),
            self.document.pack() if akd is None else akd,
            role=role,
            policy=policy or self.policy(),
            job_id=JOB,
            policy_version=0,
            policy_head=HEAD,
            now=now,
            allow_simulation=allow_simulation,
        )
