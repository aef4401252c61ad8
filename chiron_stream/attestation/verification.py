"""Signatures, chains, revocation, TCB: dcap-qvl, and the checks that it leaves to its caller.

dcap-qvl 0.7 verifies signatures, chains, validity, revocation lists and QE identity, matches the
TCB level, and applies the strict policy. Added here, because it does not:

* the root is compared with the pinned digest, and is self-issued and valid, *before* dcap-qvl sees
  it: handed a root that is not self-issued, dcap-qvl aborts the whole process (an ``assert`` of its
  webpki fork, no exception), which would let anybody end any worker;
* the certificate that signs TCB info and QE identity is the TCB signing certificate, issued by the
  root itself: any certificate below the root would do for dcap-qvl, a platform's own PCK included;
* TCB info is for the platform's PCE id (dcap-qvl compares the FMSPC only);
* the status is in the policy's list, ``UpToDate`` too.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any, Final

import dcap_qvl
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from chiron_stream.attestation.evidence import TCB_STATUSES, Evidence, EvidencePolicy

TCB_SIGNER: Final = "SGX TCB Signing"
"""How the subject's common name ends (Intel, "SGX PCK Certificate and CRL profile")."""

_SGX_REPORT: Final = "SgxEnclave"
_MESSAGE: Final = 200
"""Characters of a library's message that are repeated."""


@dataclass(frozen=True)
class Report:
    """The fields of an enclave's report that are appraised.

    :param flags: SGX attributes, the 64-bit FLAGS word.
    """

    mr_enclave: bytes
    report_data: bytes
    flags: int


@dataclass(frozen=True)
class Verdict:
    """Outcome of :func:`verify`: verified only if ``reasons`` is empty.

    With reasons, ``report`` is what the quote claims, to say what else is wrong, or ``None``.
    """

    reasons: tuple[str, ...]
    report: Report | None = None
    tcb_status: str = ""
    advisories: tuple[str, ...] = ()


def short(data: bytes) -> str:
    """Return the beginning of some bytes in hexadecimal, for a message."""
    return data[:8].hex() + ("…" if len(data) > 8 else "")


def verify(evidence: Evidence, policy: EvidencePolicy, now: int) -> Verdict:
    """Verify a quote and its collateral up to the pinned root.

    :param evidence: untrusted. Its profile and the quote's length are for the caller to check.
    :param policy: without defects, or with defects that the caller reports.
    :param now: seconds since 1970.
    """
    foreign = _root_defects(evidence.root, policy.root_digest, now)
    if foreign:
        return Verdict(tuple(foreign), _unverified(evidence.quote))
    try:
        collateral = dcap_qvl.QuoteCollateralV3.from_json(evidence.collateral.decode())
    except ValueError as error:
        return Verdict((f"collateral: {_message(error)}",), _unverified(evidence.quote))
    try:
        claims = dcap_qvl.QuoteVerifier(evidence.root).verify_with_policy(
            evidence.quote, collateral, now, _strict(policy, now)
        )
    except ValueError as error:
        cause = _cause(evidence, collateral, now) or error
        return Verdict((f"quote: {_message(cause)}",), _unverified(evidence.quote))
    return _verdict(json.loads(claims.to_json()), collateral, evidence.root, policy)


def _strict(policy: EvidencePolicy, now: int) -> Any:
    strict = dcap_qvl.QuotePolicy.strict(now)
    for status in set(policy.statuses) & set(TCB_STATUSES):
        strict = strict.allow_status(status)
    return strict.min_tcb_eval_data_number(policy.minimum_evaluation_number)


def _verdict(claims: Any, collateral: Any, root: bytes, policy: EvidencePolicy) -> Verdict:
    body = claims["report"].get(_SGX_REPORT)
    if body is None:
        return Verdict(("quote: expected an SGX enclave's report, got another",))
    status = claims["tcb"]["status"]
    reasons = [
        *_signer_defects("TCB info", collateral.tcb_info_issuer_chain, root),
        *_signer_defects("QE identity", collateral.qe_identity_issuer_chain, root),
        *_pce_defects(bytes(claims["platform"]["pck"]["pce_id"]), collateral.tcb_info),
    ]
    if status not in policy.statuses:
        reasons.append(f"TCB status: expected {', '.join(policy.statuses)}, got {status}")
    attributes = bytes.fromhex(body["attributes"])
    report = Report(
        mr_enclave=bytes.fromhex(body["mr_enclave"]),
        report_data=bytes.fromhex(body["report_data"]),
        flags=int.from_bytes(attributes[:8], "little"),
    )
    return Verdict(tuple(reasons), report, status, tuple(claims["tcb"]["advisory_ids"]))


def _root_defects(root: bytes, pinned: bytes, now: int) -> list[str]:
    digest = hashlib.sha256(root).digest()
    if digest != pinned:
        return [f"root certificate: expected {short(pinned)}, got {short(digest)}"]
    try:
        certificate = x509.load_der_x509_certificate(root)
        self_issued = certificate.issuer.public_bytes() == certificate.subject.public_bytes()
        start = certificate.not_valid_before_utc.timestamp()
        end = certificate.not_valid_after_utc.timestamp()
    except ValueError:
        return ["root certificate: the pinned bytes do not read as a certificate"]
    if not self_issued:
        return ["root certificate: the pinned certificate is not self-issued"]
    return [] if start <= now <= end else ["root certificate: it is not valid at this time"]


def _signer_defects(what: str, chain: str, root: bytes) -> list[str]:
    # Called after dcap-qvl verified the chain. Where there is nothing between signer and root, the
    # root issued the signer; one block before the root rules out that another one is read here.
    block, end, rest = chain.partition("-----END CERTIFICATE-----")
    top = x509.load_der_x509_certificate(root).public_bytes(Encoding.PEM).decode()
    if block.count("-----BEGIN") != 1 or rest.split() != top.split():
        return [f"{what}: expected a chain of its signer and the root alone"]
    try:
        signer = x509.load_pem_x509_certificate((block + end).encode())
        names = signer.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    except ValueError:
        return [f"{what}: the certificate of its signer does not read"]
    name = str(names[0].value) if names else ""
    if not name.endswith(TCB_SIGNER):
        return [f"{what}: expected a signer named {TCB_SIGNER}, got {name[:_MESSAGE]!r}"]
    return []


def _pce_defects(platform: bytes, tcb_info: str) -> list[str]:
    told = json.loads(tcb_info).get("pceId")
    if isinstance(told, str) and told.lower() == platform.hex():
        return []
    return [f"TCB info: expected PCE id {platform.hex()}, got {str(told)[:8]}"]


def _unverified(quote: bytes) -> Report | None:
    # Only to name further reasons: what this returns is never accepted.
    try:
        report = dcap_qvl.parse_quote(quote).report
    except ValueError:
        return None
    if not isinstance(report, dcap_qvl.SgxEnclaveReport):
        return None
    flags = int.from_bytes(report.attributes[:8], "little")
    return Report(report.mr_enclave, report.report_data, flags)


def _cause(evidence: Evidence, collateral: Any, now: int) -> ValueError | None:
    # verify_with_policy says only what failed; this says why, too: expired, revoked, unknown.
    try:
        dcap_qvl.verify_with_root_ca(evidence.quote, collateral, evidence.root, now)
    except ValueError as error:
        return error
    return None


def _message(error: ValueError) -> str:
    words = " ".join(str(error).split())[:_MESSAGE]
    return "".join(letter for letter in words if letter.isprintable())
