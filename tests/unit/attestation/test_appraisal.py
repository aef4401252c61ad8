"""Appraisal of evidence: one defect at a time, each with the reason that it is refused for."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import pytest

from chiron_stream.attestation.evidence import (
    COORDINATOR,
    INTEL_ROOT_DIGEST,
    PREDICTOR,
    SGX,
    RoleMeasurements,
)
from chiron_stream.errors import EvidenceRefused
from chiron_stream.simulation.authority import Authority
from chiron_stream.simulation.platform import INIT_MODE64
from tests.unit.attestation.workers import (
    DOCUMENT,
    HOUR,
    MEASUREMENT,
    NOW,
    OTHER_MEASUREMENT,
    Worker,
)

DEBUG = 0x02
STATE = {"epoch": 1, "state_version": 0, "journal_head": bytes(32)}


def reasons(worker: Worker, **how: Any) -> tuple[str, ...]:
    with pytest.raises(EvidenceRefused) as caught:
        worker.appraise(**how)
    assert caught.value.code == "EVIDENCE"
    assert "trainer" in str(caught.value) or "role" in how
    return caught.value.reasons


def only_reason(worker: Worker, **how: Any) -> str:
    [reason] = reasons(worker, **how)
    return reason


def test_genuine_evidence_is_accepted(worker: Worker) -> None:
    appraised = worker.appraise()
    assert appraised.document == DOCUMENT
    assert appraised.mr_enclave == MEASUREMENT
    assert (appraised.tcb_status, appraised.advisories) == ("UpToDate", ())
    assert appraised.simulated
    assert appraised.freshness == "local"


def test_genuine_coordinator_is_accepted(worker: Worker) -> None:
    coordinator = replace(worker.but(role=COORDINATOR, **STATE), measurement=OTHER_MEASUREMENT)
    assert coordinator.appraise(role=COORDINATOR).document.epoch == 1


def test_wrong_measurement_is_refused(worker: Worker) -> None:
    other = replace(worker, measurement=bytes([9]) * 32)
    assert only_reason(other) == (
        f"measurement: expected {MEASUREMENT[:8].hex()}…, got 0909090909090909…"
    )


def test_measurement_of_another_role_is_refused(worker: Worker) -> None:
    other = replace(worker, measurement=OTHER_MEASUREMENT)
    assert only_reason(other).startswith("measurement: ")


def test_role_without_measurements_is_refused(worker: Worker) -> None:
    found = reasons(worker.but(role=PREDICTOR), role=PREDICTOR)
    assert found == (f"measurement: expected none, got {MEASUREMENT[:8].hex()}…",)


def test_measurements_of_a_role_that_stands_twice_all_count(worker: Worker) -> None:
    table = (RoleMeasurements("trainer", ()), RoleMeasurements("trainer", (MEASUREMENT,)))
    worker.appraise(policy=worker.policy(measurements=table))


def test_wrong_role_is_refused(worker: Worker) -> None:
    found = reasons(worker.but(**STATE), role=COORDINATOR)
    assert "role: expected coordinator, got trainer" in found


def test_wrong_job_is_refused(worker: Worker) -> None:
    found = only_reason(worker.but(job_id=bytes(32)))
    assert found == "job: expected 0101010101010101…, got 0000000000000000…"


def test_wrong_policy_version_is_refused(worker: Worker) -> None:
    assert only_reason(worker.but(policy_version=1)) == "policy version: expected 0, got 1"


def test_wrong_policy_head_is_refused(worker: Worker) -> None:
    assert only_reason(worker.but(policy_head=bytes(32))).startswith("policy head: ")


def test_document_of_another_profile_is_refused(worker: Worker) -> None:
    assert only_reason(worker.but(profile=SGX)).startswith("profile of the document: ")


def test_document_that_does_not_read_is_refused(worker: Worker) -> None:
    found = reasons(worker, akd=b"\x80")
    assert "attested key document: it does not read" in found


def test_document_with_a_short_key_is_refused(worker: Worker) -> None:
    packed = DOCUMENT.pack().replace(DOCUMENT.signing_key, DOCUMENT.signing_key[:31])
    assert "attested key document: it does not read" in reasons(worker, akd=packed)


def test_report_data_of_another_document_is_refused(worker: Worker) -> None:
    other = worker.but(boot=bytes(16))
    assert only_reason(worker, akd=other.document.pack()).startswith("report data: ")


def test_expired_document_is_refused(worker: Worker) -> None:
    ended = worker.but(not_after=NOW)
    assert only_reason(ended) == "lifetime: it ended 0 s ago"
    ended.appraise(now=NOW - 1)


def test_document_not_yet_valid_is_refused(worker: Worker) -> None:
    early = worker.but(not_before=NOW + 1)
    assert only_reason(early) == "lifetime: it begins in 1 s"
    early.appraise(now=NOW + 1)


def test_lifetime_too_long_is_refused(worker: Worker) -> None:
    day = worker.but(not_before=NOW, not_after=NOW + 24 * HOUR)
    day.appraise()
    longer = worker.but(not_before=NOW, not_after=NOW + 24 * HOUR + 1)
    assert only_reason(longer) == "lifetime: expected at most 86400 s, got 86401 s"


@pytest.mark.parametrize("key", [bytes(32), b"\x01" + bytes(31), b"\xff" * 32])
def test_weak_signing_key_is_refused(worker: Worker, key: bytes) -> None:
    assert only_reason(worker.but(signing_key=key)) == "signing key: a weak Ed25519 key"


@pytest.mark.parametrize("field", sorted(STATE))
def test_state_in_a_document_of_a_trainer_is_refused(worker: Worker, field: str) -> None:
    assert only_reason(worker.but(**{field: STATE[field]})).startswith("state: only a coordinator")


@pytest.mark.parametrize("field", sorted(STATE))
def test_coordinator_without_state_is_refused(worker: Worker, field: str) -> None:
    incomplete = worker.but(role=COORDINATOR, **{**STATE, field: None})
    coordinator = replace(incomplete, measurement=OTHER_MEASUREMENT)
    assert only_reason(coordinator, role=COORDINATOR).startswith("state: a coordinator names")


def test_simulation_without_permission_is_refused(worker: Worker) -> None:
    found = only_reason(worker, allow_simulation=False)
    assert found == "profile: simulated evidence, and the caller did not ask for simulation"


def test_evidence_of_another_profile_is_refused(worker: Worker) -> None:
    evidence = replace(worker.evidence(), profile=SGX)
    found = only_reason(worker, evidence=evidence)
    assert found == "profile: expected simulated-sgx-dcap, got sgx-dcap"


def test_make_believe_root_under_the_name_of_sgx_is_refused(worker: Worker) -> None:
    policy = worker.policy(profile=SGX, service_key=None)
    sgx = worker.but(profile=SGX)
    evidence = replace(sgx.evidence(), profile=SGX)
    found = only_reason(sgx, evidence=evidence, policy=policy, allow_simulation=False)
    assert found == "policy: profile sgx-dcap has a root that is not Intel's"


def test_quoting_service_in_a_policy_for_sgx_is_refused(worker: Worker) -> None:
    policy = worker.policy(profile=SGX, root_digest=INTEL_ROOT_DIGEST)
    assert "policy: profile sgx-dcap names a development quoting service" in reasons(
        worker, policy=policy
    )


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"profile": "tdx"}, "policy: profile is 'tdx'"),
        ({"statuses": ()}, "policy: no TCB status is allowed"),
        ({"statuses": ("Revoked",)}, "policy: TCB status 'Revoked' cannot be allowed"),
        ({"statuses": ("UpToDate", "Fine")}, "policy: TCB status 'Fine' cannot be allowed"),
    ],
)
def test_unusable_policy_is_refused(worker: Worker, fields: dict[str, Any], reason: str) -> None:
    found = reasons(worker, policy=worker.policy(**fields))
    assert any(one.startswith(reason) for one in found)


def test_foreign_root_is_refused(worker: Worker) -> None:
    foreign = replace(worker, authority=Authority.generate(NOW))
    found = only_reason(foreign, policy=worker.policy())
    assert found.startswith("root certificate: expected ")


def test_foreign_quote_beside_the_pinned_root_is_refused(worker: Worker) -> None:
    foreign = replace(worker, authority=Authority.generate(NOW))
    evidence = replace(foreign.evidence(), root=worker.authority.root_der)
    assert only_reason(foreign, evidence=evidence, policy=worker.policy()).startswith("quote: ")


@pytest.mark.parametrize("flags", [INIT_MODE64 | DEBUG, INIT_MODE64 | 0x10, INIT_MODE64 | 0x20])
def test_debug_or_provisioning_enclave_is_refused(worker: Worker, flags: int) -> None:
    found = reasons(worker.on(flags=flags))
    assert any(one.startswith("attributes: an enclave with") for one in found)


@pytest.mark.parametrize("flags", [0x01, 0x04, 0])
def test_enclave_without_required_attributes_is_refused(worker: Worker, flags: int) -> None:
    found = only_reason(worker.on(flags=flags))
    assert found == "attributes: expected an initialised 64-bit enclave"


def test_several_defects_are_all_said(worker: Worker) -> None:
    broken = replace(
        worker.on(flags=INIT_MODE64 | DEBUG).but(
            job_id=bytes(32),
            policy_head=bytes(32),
            signing_key=bytes(32),
            not_before=0,
            not_after=1,
            epoch=3,
        ),
        measurement=bytes(32),
    )
    found = reasons(broken, akd=broken.document.pack(), allow_simulation=False)
    assert [one.partition(":")[0] for one in found] == [
        "profile",
        "quote",
        "attributes",
        "measurement",
        "job",
        "policy head",
        "lifetime",
        "signing key",
        "state",
    ]


def test_reasons_hold_no_long_values(worker: Worker) -> None:
    broken = worker.but(job_id=bytes(32))
    assert max(map(len, reasons(broken))) < 120
    assert hashlib.sha256(worker.authority.root_der).hexdigest() not in reasons(broken)[0]
