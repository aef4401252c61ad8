"""Evidence of a worker, and the policy that it is held against."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Final

from chiron_stream.wire.crypto import XWING_PUBLIC
from chiron_stream.wire.document import Digest, Document, Limit, Name, Range, Size

SIMULATED: Final = "simulated-sgx-dcap"
"""Quotes of the development quoting service under a TEST root: no protection whatever."""

SGX: Final = "sgx-dcap"
"""Intel SGX with DCAP quotes of version 3 under Intel's root."""

COORDINATOR: Final = "coordinator"
TRAINER: Final = "trainer"
PREDICTOR: Final = "predictor"
ROLES: Final = (COORDINATOR, TRAINER, PREDICTOR)

INTEL_ROOT_DIGEST: Final = bytes.fromhex(
    "44a0196b2b99f889b8e149e95b807a350e7424964399e885a7cbb8ccfab674d3"
)
"""SHA-256 of the DER of "Intel SGX Root CA" (valid 2018-05-21 to 2049-12-31)."""

TCB_STATUSES: Final = (
    "UpToDate",
    "SWHardeningNeeded",
    "ConfigurationNeeded",
    "ConfigurationAndSWHardeningNeeded",
    "OutOfDate",
    "OutOfDateConfigurationNeeded",
)
"""What a policy may allow (Intel PCS API v4, "TCB status"); ``Revoked`` never is."""

QUOTE_LIMIT: Final = 16 * 1024
COLLATERAL_LIMIT: Final = 64 * 1024
ROOT_LIMIT: Final = 4 * 1024

XWingPublicKey = Annotated[bytes, Size(XWING_PUBLIC)]
"""An encoded X-Wing public key; its length is all that is checked."""


@dataclass(frozen=True)
class Evidence(Document):
    """What a worker shows: untrusted in every byte until it is appraised.

    :param profile: how to read the rest, :data:`SIMULATED` or :data:`SGX`.
    :param quote: an SGX quote of version 3.
    :param collateral: certificates, revocation lists, TCB info and QE identity, as the JSON that
        dcap-qvl reads.
    :param root: DER of the certificate that all chains end in.
    """

    KIND: ClassVar[int] = 200

    profile: Name
    quote: Annotated[bytes, Limit(QUOTE_LIMIT)]
    collateral: Annotated[bytes, Limit(COLLATERAL_LIMIT)]
    root: Annotated[bytes, Limit(ROOT_LIMIT)]


@dataclass(frozen=True)
class RoleMeasurements(Document):
    """The MRENCLAVEs that count as a role."""

    KIND: ClassVar[int] = 201

    role: Name
    measurements: tuple[Digest, ...]


@dataclass(frozen=True)
class EvidencePolicy(Document):
    """The part of a job's policy that evidence is held against; trusted once the job is verified.

    :param root_digest: SHA-256 of the root certificate's DER.
    :param service_key: X-Wing public key of the development quoting service, in the simulated
        profile only.
    :param statuses: the TCB statuses that are allowed, of :data:`TCB_STATUSES`.
    :param minimum_evaluation_number: least ``tcbEvaluationDataNumber`` of the collateral: raising
        it is how a policy follows a TCB recovery.
    """

    KIND: ClassVar[int] = 202

    profile: Name
    root_digest: Digest
    service_key: XWingPublicKey | None
    measurements: tuple[RoleMeasurements, ...]
    statuses: tuple[Name, ...]
    minimum_evaluation_number: Annotated[int, Range(0, 2**32 - 1)]

    def allowed(self, role: str) -> frozenset[bytes]:
        """Return the measurements of a role; empty when the policy does not know it."""
        return frozenset(
            one for entry in self.measurements if entry.role == role for one in entry.measurements
        )


def policy_defects(policy: EvidencePolicy) -> list[str]:
    """Return what makes a policy unusable, one sentence for each defect."""
    found = []
    if policy.profile not in (SIMULATED, SGX):
        found.append(f"policy: profile is {policy.profile!r}, expected {SIMULATED} or {SGX}")
    if policy.profile == SGX and policy.root_digest != INTEL_ROOT_DIGEST:
        found.append(f"policy: profile {SGX} has a root that is not Intel's")
    if policy.profile == SGX and policy.service_key is not None:
        found.append(f"policy: profile {SGX} names a development quoting service")
    if not policy.statuses:
        found.append("policy: no TCB status is allowed")
    unknown = sorted(set(policy.statuses) - set(TCB_STATUSES))
    if unknown:
        found.append(f"policy: TCB status {unknown[0]!r} cannot be allowed")
    return found
