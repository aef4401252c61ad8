"""Appraisal: evidence and attested key document against a job's policy, with every reason.

A document that comes out of :func:`appraise` was made by code that the policy names, for this job
and role, and its keys live in that code's memory only. What it does not say: that the boot still
runs (no challenge: ``freshness`` is ``local``), that there is no second instance of it, or that
the history it has seen is the newest. ``docs/attestation.md`` lists what remains to the caller.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from chiron_stream.attestation.akd import MAX_LIFETIME, AttestedKeyDocument, report_data
from chiron_stream.attestation.evidence import (
    COORDINATOR,
    SIMULATED,
    Evidence,
    EvidencePolicy,
    policy_defects,
)
from chiron_stream.attestation.quote import length_defect
from chiron_stream.attestation.verification import Report, short, verify
from chiron_stream.errors import EvidenceRefused
from chiron_stream.wire.canonical import EncodingRefused
from chiron_stream.wire.crypto import is_weak

_INIT: Final = 0x01
_DEBUG: Final = 0x02
_MODE64: Final = 0x04
_PROVISION_KEY: Final = 0x10
_EINITTOKEN_KEY: Final = 0x20
"""SGX attribute flags (Intel SDM volume 3D, "ATTRIBUTES"); MRENCLAVE does not cover them."""

_REQUIRED: Final = _INIT | _MODE64
_FORBIDDEN: Final = {
    _DEBUG: "DEBUG",
    _PROVISION_KEY: "PROVISIONKEY",
    _EINITTOKEN_KEY: "EINITTOKENKEY",
}


@dataclass(frozen=True)
class Appraised:
    """A worker whose evidence satisfies the policy.

    :param document: its attested key document, verified.
    :param tcb_status: of the platform, one of those the policy allows.
    :param advisories: Intel's security advisories that apply to the platform.
    :param simulated: the evidence is make-believe and protects nothing: say so wherever it shows.
    :param freshness: ``local``: nobody else was asked whether there is a newer state.
    """

    document: AttestedKeyDocument
    mr_enclave: bytes
    tcb_status: str
    advisories: tuple[str, ...]
    simulated: bool
    freshness: str = "local"


@dataclass(frozen=True)
class _Expected:
    role: str
    policy: EvidencePolicy
    job_id: bytes
    policy_version: int
    policy_head: bytes
    now: int
    allow_simulation: bool


def appraise(
    evidence: Evidence,
    akd: bytes,
    *,
    role: str,
    policy: EvidencePolicy,
    job_id: bytes,
    policy_version: int,
    policy_head: bytes,
    now: int,
    allow_simulation: bool,
) -> Appraised:
    """Return the verified document of a worker.

    :param evidence: untrusted.
    :param akd: untrusted bytes of the attested key document.
    :param role: what the worker has to be.
    :param policy: the evidence part of the verified job policy.
    :param now: seconds since 1970, from a clock that the caller trusts as far as it must.
    :param allow_simulation: whether the caller asked for ``InsecureSimulation``.
    :raises EvidenceRefused: with every reason that was found.
    """
    expected = _Expected(role, policy, job_id, policy_version, policy_head, now, allow_simulation)
    reasons = [*_profile(evidence, expected), *policy_defects(policy)]
    if defect := length_defect(evidence.quote):
        reasons.append(defect)
    verdict = verify(evidence, policy, now)
    reasons += verdict.reasons
    if verdict.report is not None:
        reasons += _report(verdict.report, akd, expected)
    document = _document(akd)
    if document is None:
        reasons.append("attested key document: it does not read")
    else:
        reasons += _claims(document, expected)
    if reasons or document is None or verdict.report is None:
        raise EvidenceRefused(f"the evidence of a {role} is refused", tuple(reasons))
    return Appraised(
        document=document,
        mr_enclave=verdict.report.mr_enclave,
        tcb_status=verdict.tcb_status,
        advisories=verdict.advisories,
        simulated=evidence.profile == SIMULATED,
    )


def _profile(evidence: Evidence, expected: _Expected) -> list[str]:
    found = []
    if evidence.profile != expected.policy.profile:
        found.append(f"profile: expected {expected.policy.profile}, got {evidence.profile}")
    if SIMULATED in (evidence.profile, expected.policy.profile) and not expected.allow_simulation:
        found.append("profile: simulated evidence, and the caller did not ask for simulation")
    return found


def _report(report: Report, akd: bytes, expected: _Expected) -> list[str]:
    found = [
        f"attributes: an enclave with {name}"
        for flag, name in _FORBIDDEN.items()
        if report.flags & flag
    ]
    if report.flags & _REQUIRED != _REQUIRED:
        found.append("attributes: expected an initialised 64-bit enclave")
    allowed = expected.policy.allowed(expected.role)
    if report.mr_enclave not in allowed:
        known = ", ".join(short(one) for one in sorted(allowed)) or "none"
        found.append(f"measurement: expected {known}, got {short(report.mr_enclave)}")
    wanted = report_data(akd)
    if report.report_data != wanted:
        found.append(
            f"report data: expected {short(wanted)}, got {short(report.report_data)}:"
            " the quote is for another attested key document"
        )
    return found


def _document(akd: bytes) -> AttestedKeyDocument | None:
    try:
        return AttestedKeyDocument.unpack(akd)
    except EncodingRefused:
        return None


def _claims(document: AttestedKeyDocument, expected: _Expected) -> list[str]:
    triples: tuple[tuple[str, object, object], ...] = (
        ("profile of the document", expected.policy.profile, document.profile),
        ("role", expected.role, document.role),
        ("job", expected.job_id, document.job_id),
        ("policy version", expected.policy_version, document.policy_version),
        ("policy head", expected.policy_head, document.policy_head),
    )
    found = [
        f"{name}: expected {_shown(wanted)}, got {_shown(got)}"
        for name, wanted, got in triples
        if wanted != got
    ]
    return [*found, *_lifetime(document, expected.now), *_keys(document, expected.role)]


def _shown(value: object) -> str:
    return short(value) if isinstance(value, bytes) else str(value)


def _lifetime(document: AttestedKeyDocument, now: int) -> list[str]:
    found = []
    if now < document.not_before:
        found.append(f"lifetime: it begins in {document.not_before - now} s")
    if now >= document.not_after:
        found.append(f"lifetime: it ended {now - document.not_after} s ago")
    length = document.not_after - document.not_before
    if length > MAX_LIFETIME:
        found.append(f"lifetime: expected at most {MAX_LIFETIME} s, got {length} s")
    return found


def _keys(document: AttestedKeyDocument, role: str) -> list[str]:
    found = []
    if is_weak(document.signing_key):
        found.append("signing key: a weak Ed25519 key")
    state = (document.epoch, document.state_version, document.journal_head)
    if role == COORDINATOR and None in state:
        found.append("state: a coordinator names epoch, state version and journal head")
    if role != COORDINATOR and state != (None, None, None):
        found.append("state: only a coordinator names epoch, state version or journal head")
    return found
