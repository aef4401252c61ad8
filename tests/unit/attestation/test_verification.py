"""Quote, collateral and root: what dcap-qvl checks, and what it leaves to us, with controls."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import dcap_qvl
import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from chiron_stream.attestation.evidence import Evidence
from chiron_stream.attestation.quote import length_defect
from chiron_stream.attestation.verification import verify
from chiron_stream.simulation import certificates
from chiron_stream.simulation.authority import Authority
from chiron_stream.simulation.certificates import LIFETIME
from tests.unit.attestation.test_appraisal import only_reason, reasons
from tests.unit.attestation.workers import NOW, Worker

DAY = 24 * 3600
MR_ENCLAVE_AT = 48 + 64
REPORT_DATA_AT = 48 + 320
ATTRIBUTES_AT = 48 + 48
SIGNATURE_AT = 436
NOT_ALONE = "TCB info: expected a chain of its signer and the root alone"


def dcap_qvl_alone_accepts(evidence: Evidence, now: int = NOW) -> bool:
    """Tell whether the library's strict policy takes the evidence, under the root beside it."""
    collateral = dcap_qvl.QuoteCollateralV3.from_json(evidence.collateral.decode())
    verifier = dcap_qvl.QuoteVerifier(evidence.root)
    try:
        verifier.verify_with_policy(
            evidence.quote, collateral, now, dcap_qvl.QuotePolicy.strict(now)
        )
    except ValueError:
        return False
    return True


def changed(evidence: Evidence, change: Callable[[dict[str, str]], Any]) -> Evidence:
    parts = json.loads(evidence.collateral)
    change(parts)
    return replace(evidence, collateral=json.dumps(parts).encode())


def test_dcap_qvl_alone_accepts_what_is_genuine(worker: Worker) -> None:
    assert dcap_qvl_alone_accepts(worker.evidence())


@pytest.mark.parametrize("tail", [b"\0", b"tail"])
def test_tail_after_the_quote_is_refused(worker: Worker, tail: bytes) -> None:
    evidence = worker.evidence()
    longer = replace(evidence, quote=evidence.quote + tail)
    assert dcap_qvl_alone_accepts(longer)
    told = len(evidence.quote)
    assert only_reason(worker, evidence=longer) == (
        f"quote: expected {told} bytes, got {told + len(tail)}"
    )


def test_tail_inside_the_signature_data_is_refused(worker: Worker) -> None:
    evidence = worker.evidence()
    length = len(evidence.quote) - SIGNATURE_AT + 1
    quote = evidence.quote[:432] + length.to_bytes(4, "little") + evidence.quote[436:] + b"\0"
    longer = replace(evidence, quote=quote)
    assert dcap_qvl_alone_accepts(longer)
    assert "by its certification data" in only_reason(worker, evidence=longer)


def test_every_cut_of_a_quote_is_refused(worker: Worker) -> None:
    quote = worker.evidence().quote
    assert length_defect(quote) is None
    assert all(length_defect(quote[:size]) for size in range(len(quote)))


def test_qe_data_that_reach_beyond_the_end_are_refused(worker: Worker) -> None:
    quote = bytearray(worker.evidence().quote)
    quote[SIGNATURE_AT + 576 : SIGNATURE_AT + 578] = b"\xff\xff"
    assert length_defect(bytes(quote)) == "quote: the QE's authentication data reach beyond the end"


def test_quote_of_another_version_is_refused(worker: Worker) -> None:
    evidence = worker.evidence()
    other = replace(evidence, quote=b"\x04" + evidence.quote[1:])
    assert "quote: expected version 3, got 4" in reasons(worker, evidence=other)


@pytest.mark.parametrize(
    "where",
    [
        *(2, 12, MR_ENCLAVE_AT, REPORT_DATA_AT, REPORT_DATA_AT + 63, ATTRIBUTES_AT),
        *(SIGNATURE_AT + offset for offset in (0, 64, 128, 512, 578)),
    ],
)
@pytest.mark.parametrize("bit", [0, 7])
def test_bit_flip_in_the_quote_is_refused(worker: Worker, where: int, bit: int) -> None:
    evidence = worker.evidence()
    quote = bytearray(evidence.quote)
    quote[where] ^= 1 << bit
    assert reasons(worker, evidence=replace(evidence, quote=bytes(quote)))


@pytest.mark.parametrize(
    "status",
    [
        "SWHardeningNeeded",
        "ConfigurationNeeded",
        "ConfigurationAndSWHardeningNeeded",
        "OutOfDate",
        "OutOfDateConfigurationNeeded",
        "Revoked",
    ],
)
def test_tcb_status_not_allowed_is_refused(worker: Worker, status: str) -> None:
    assert status in only_reason(worker.on(tcb_status=status, advisories=("INTEL-SA-00000",)))


def test_tcb_status_that_the_policy_allows_is_accepted(worker: Worker) -> None:
    policy = worker.policy(statuses=("UpToDate", "SWHardeningNeeded"))
    weaker = worker.on(tcb_status="SWHardeningNeeded", advisories=("INTEL-SA-00000",))
    appraised = weaker.appraise(policy=policy)
    assert appraised.tcb_status == "SWHardeningNeeded"
    assert appraised.advisories == ("INTEL-SA-00000",)


def test_up_to_date_is_refused_when_the_policy_does_not_list_it(worker: Worker) -> None:
    found = only_reason(worker, policy=worker.policy(statuses=("SWHardeningNeeded",)))
    assert found == "TCB status: expected SWHardeningNeeded, got UpToDate"


def test_quoting_enclave_out_of_date_is_refused(worker: Worker) -> None:
    assert "OutOfDate" in only_reason(worker.on(qe_status="OutOfDate"))


def test_collateral_below_the_minimum_evaluation_number_is_refused(worker: Worker) -> None:
    policy = worker.policy(minimum_evaluation_number=6)
    assert "below minimum" in only_reason(worker.on(evaluation_number=5), policy=policy)
    worker.on(evaluation_number=6).appraise(policy=policy)


def test_revoked_platform_is_refused(worker: Worker) -> None:
    assert "CertRevoked" in only_reason(worker.on(revoked=True))


def test_revoked_platform_without_its_revocation_list_is_refused(worker: Worker) -> None:
    assert only_reason(worker.on(revoked=True, pck_list_missing=True)).startswith("quote: ")


def test_collateral_of_another_family_is_refused(worker: Worker) -> None:
    assert "quote: " in only_reason(worker.on(fmspc=bytes(6)))


def test_tcb_info_for_another_pce_is_refused(worker: Worker) -> None:
    other = worker.on(pce_id=b"\x00\x01")
    assert dcap_qvl_alone_accepts(other.evidence())
    assert only_reason(other) == "TCB info: expected PCE id 0000, got 0001"


def test_tcb_info_signed_by_the_platform_is_refused(worker: Worker) -> None:
    other = worker.on(signed_by_platform=True)
    assert dcap_qvl_alone_accepts(other.evidence())
    assert only_reason(other) == NOT_ALONE


def test_tcb_info_signed_under_the_platform_authority_is_refused(worker: Worker) -> None:
    evidence = worker.on(signed_by_platform=True).evidence()

    def hide_the_authority(parts: dict[str, str]) -> None:
        leaf, authority, _root = parts["tcb_info_issuer_chain"].split(
            "-----END CERTIFICATE-----\n"
        )[:3]
        end = "-----END CERTIFICATE-----\n"
        parts["tcb_info_issuer_chain"] = leaf + end + authority + end

    two = changed(evidence, hide_the_authority)
    assert dcap_qvl_alone_accepts(two)
    assert only_reason(worker, evidence=two) == NOT_ALONE


def test_tcb_info_signed_by_another_certificate_of_the_root_is_refused(worker: Worker) -> None:
    clerk = certificates.leaf("SGX Something Else", worker.authority.root, NOW)
    other = replace(worker, authority=replace(worker.authority, signer=clerk))
    assert dcap_qvl_alone_accepts(other.evidence())
    found = reasons(other)
    assert [one.partition(":")[0] for one in found] == ["TCB info", "QE identity"]
    assert all("SGX Something Else" in one for one in found)


@pytest.mark.parametrize("late", [30 * DAY, -2 * 3600])
def test_collateral_outside_its_time_is_refused(worker: Worker, late: int) -> None:
    now = NOW + late
    lasting = worker.but(not_before=now, not_after=now + 60)
    assert only_reason(lasting, now=now).startswith("quote: ")


def test_second_block_before_the_signer_is_refused(worker: Worker) -> None:
    evidence = worker.evidence()

    def hide_a_block(parts: dict[str, str]) -> None:
        parts["tcb_info_issuer_chain"] = "-----BEGIN NOTE-----\n" + parts["tcb_info_issuer_chain"]

    hidden = changed(evidence, hide_a_block)
    assert reasons(worker, evidence=hidden)


def test_root_outside_its_time_is_refused(worker: Worker) -> None:
    now = NOW + LIFETIME + 1
    lasting = worker.but(not_before=now, not_after=now + 60)
    assert only_reason(lasting, now=now) == "root certificate: it is not valid at this time"


def test_pinned_root_that_is_not_self_issued_is_refused(worker: Worker) -> None:
    root = worker.authority.intermediate.certificate.public_bytes(Encoding.DER)
    policy = worker.policy(root_digest=hashlib.sha256(root).digest())
    evidence = replace(worker.evidence(), root=root)
    assert only_reason(worker, evidence=evidence, policy=policy) == (
        "root certificate: the pinned certificate is not self-issued"
    )


def test_dcap_qvl_alone_aborts_at_a_root_that_is_not_self_issued(worker: Worker) -> None:
    odd = certificates.authority("Odd Root", worker.authority.root, NOW, below=1)
    evidence = replace(worker, authority=replace(worker.authority, root=odd)).evidence()
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_CORE, (0, 0));"
        "from tests.unit.attestation.test_verification import dcap_qvl_alone_accepts as accepts;"
        "from chiron_stream.attestation.evidence import Evidence;"
        "accepts(Evidence.unpack(sys.stdin.buffer.read()))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], input=evidence.pack(), capture_output=True, check=False
    )
    assert ended.returncode == -6, "the guard can go: the library no longer aborts"


def test_pinned_root_that_is_no_certificate_is_refused(worker: Worker) -> None:
    policy = worker.policy(root_digest=hashlib.sha256(b"root").digest())
    found = only_reason(worker, evidence=replace(worker.evidence(), root=b"root"), policy=policy)
    assert found == "root certificate: the pinned bytes do not read as a certificate"


@pytest.mark.parametrize("collateral", [b"", b"{}", b"\xff", b"[" * 10_000])
def test_collateral_that_does_not_read_is_refused(worker: Worker, collateral: bytes) -> None:
    evidence = replace(worker.evidence(), collateral=collateral)
    assert only_reason(worker, evidence=evidence).startswith("collateral: ")


@pytest.mark.parametrize(
    "part", ["pck_crl", "root_ca_crl", "tcb_info", "qe_identity", "tcb_info_signature"]
)
def test_collateral_part_of_another_authority_is_refused(worker: Worker, part: str) -> None:
    stranger = replace(worker.on(evaluation_number=2), authority=Authority.generate(NOW))
    foreign = json.loads(stranger.evidence().collateral)
    evidence = changed(worker.evidence(), lambda parts: parts.update({part: foreign[part]}))
    assert only_reason(worker, evidence=evidence).startswith("quote: ")


def test_verdict_with_reasons_says_what_the_quote_claims(worker: Worker) -> None:
    evidence = replace(worker.evidence(), collateral=b"{}")
    verdict = verify(evidence, worker.policy(), NOW)
    assert verdict.reasons
    assert verdict.report is not None
    assert verdict.report.mr_enclave == worker.measurement
