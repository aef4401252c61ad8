"""A genuine quote under Intel's root: everything fits but what the enclave was made for."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import dcap_qvl
import pytest

from chiron_stream.attestation.appraisal import appraise
from chiron_stream.attestation.evidence import (
    INTEL_ROOT_DIGEST,
    SGX,
    TRAINER,
    Evidence,
    EvidencePolicy,
    RoleMeasurements,
)
from chiron_stream.attestation.verification import Verdict, verify
from chiron_stream.errors import EvidenceRefused
from tests.unit.attestation.workers import DOCUMENT, HEAD, JOB

QUOTES = Path(__file__).parents[4] / "shared" / "quotes"
pytestmark = pytest.mark.skipif(
    not QUOTES.is_dir(), reason="the sample quotes are not there: ../shared/quotes"
)

ISSUED = 1_750_330_571
"""2025-06-19T10:56:11Z: when the newest part of the collateral was issued."""

EXPIRES = 1_752_919_278
"""2025-07-19T10:01:18Z: when its first part expires."""

STATUS = "ConfigurationAndSWHardeningNeeded"
MR_ENCLAVE = bytes.fromhex("33d8736db756ed4997e04ba358d27833188f1932ff7b1d156904d3f560452fbb")
POLICY = EvidencePolicy(
    profile=SGX,
    root_digest=INTEL_ROOT_DIGEST,
    service_key=None,
    measurements=(RoleMeasurements(TRAINER, (MR_ENCLAVE,)),),
    statuses=("UpToDate", STATUS),
    minimum_evaluation_number=17,
)


def phala() -> Evidence:
    folder = QUOTES / "phala"
    return Evidence(
        profile=SGX,
        quote=(folder / "sgx_quote").read_bytes(),
        collateral=(folder / "sgx_quote_collateral.json").read_bytes(),
        root=(folder / "TrustedRootCA.der").read_bytes(),
    )


def verdict(now: int, policy: EvidencePolicy = POLICY) -> Verdict:
    return verify(phala(), policy, now)


def test_root_is_the_one_in_the_code() -> None:
    assert hashlib.sha256(phala().root).digest() == INTEL_ROOT_DIGEST


@pytest.mark.parametrize("now", [ISSUED, ISSUED + 3600, EXPIRES])
def test_genuine_quote_verifies_within_its_time(now: int) -> None:
    found = verdict(now)
    assert found.reasons == ()
    assert found.report is not None
    assert found.report.mr_enclave == MR_ENCLAVE
    assert found.report.report_data.rstrip(b"\0") == b"Hello, world!"
    assert found.tcb_status == STATUS
    assert found.advisories == ("INTEL-SA-00289", "INTEL-SA-00615")


@pytest.mark.parametrize("now", [ISSUED - 1, EXPIRES + 1])
def test_genuine_quote_one_second_outside_its_time_is_refused(now: int) -> None:
    assert len(verdict(now).reasons) == 1


def test_genuine_quote_is_refused_for_what_it_was_not_made_for() -> None:
    document = replace(DOCUMENT, profile=SGX, not_before=ISSUED, not_after=ISSUED + 60)
    policy = replace(POLICY, measurements=(RoleMeasurements(TRAINER, (bytes(32),)),))
    with pytest.raises(EvidenceRefused) as caught:
        appraise(
            phala(),
            document.pack(),
            role=TRAINER,
            policy=policy,
            job_id=JOB,
            policy_version=0,
            policy_head=HEAD,
            now=ISSUED,
            allow_simulation=False,
        )
    names = [reason.partition(":")[0] for reason in caught.value.reasons]
    assert names == ["measurement", "report data"]


def test_genuine_quote_whose_status_is_not_allowed_is_refused() -> None:
    [reason] = verdict(ISSUED, replace(POLICY, statuses=("UpToDate",))).reasons
    assert STATUS in reason


def test_genuine_quote_below_the_evaluation_number_is_refused() -> None:
    [reason] = verdict(ISSUED, replace(POLICY, minimum_evaluation_number=18)).reasons
    assert "below minimum" in reason


@pytest.mark.parametrize("name", ["automata/quote_sgx.bin", "trustee/occlum_quote.dat"])
def test_debug_enclave_of_real_hardware_is_named(name: str) -> None:
    evidence = replace(phala(), quote=(QUOTES / name).read_bytes())
    found = verify(evidence, POLICY, ISSUED)
    assert found.reasons
    assert found.report is not None
    assert found.report.flags & 0x02


@pytest.mark.parametrize("name", ["phala/tdx_quote", "automata/quote_tdx.bin"])
def test_quote_of_another_kind_of_tee_is_refused(name: str) -> None:
    evidence = replace(phala(), quote=(QUOTES / name).read_bytes())
    assert dcap_qvl.parse_quote(evidence.quote).is_tdx()
    found = verify(evidence, POLICY, ISSUED)
    assert found.reasons
    assert found.report is None


def test_quote_and_collateral_that_intel_generated_are_refused() -> None:
    folder = QUOTES / "intel_qvl_generated"
    evidence = replace(phala(), quote=(folder / "quote.dat").read_bytes())
    assert verify(evidence, POLICY, ISSUED).reasons
