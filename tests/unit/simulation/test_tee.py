"""What a core asks of its environment, simulated and under Gramine."""

from __future__ import annotations

from pathlib import Path

import pytest

from chiron_stream.attestation.evidence import SGX, TRAINER, Evidence
from chiron_stream.attestation.quoting import QuotingRefused, SealingKeyRequest, seal_request
from chiron_stream.errors import EvidenceRefused
from chiron_stream.simulation.authority import Authority
from chiron_stream.simulation.service import answer
from chiron_stream.wire.canonical import EncodingRefused
from enclave_workers.core.tee import Tee
from enclave_workers.core.tee.gramine import GramineTee, inside_gramine
from enclave_workers.core.tee.simulated import SimulatedTee

NOW = 1_800_000_000
MEASUREMENT = bytes([1]) * 32
REPORT_DATA = bytes([2]) * 64
AUTHORITY = Authority.generate(NOW)
SERVICE_KEY = AUTHORITY.service().public


def test_simulated_core_gets_evidence_and_sealing_key() -> None:
    tee: Tee = SimulatedTee(
        TRAINER, SERVICE_KEY, lambda request: answer(AUTHORITY, request, NOW), MEASUREMENT
    )
    evidence = tee.evidence(REPORT_DATA)
    assert evidence.profile == tee.profile
    assert REPORT_DATA in evidence.quote
    assert tee.sealing_key(b"label") == AUTHORITY.sealing_key(MEASUREMENT, b"label")


def test_refusal_of_the_service_reaches_the_core() -> None:
    refusing = SimulatedTee(
        TRAINER, SERVICE_KEY, lambda _: QuotingRefused("closed").pack(), MEASUREMENT
    )
    with pytest.raises(EvidenceRefused, match="closed"):
        refusing.evidence(REPORT_DATA)


def test_courier_that_answers_nothing_readable_is_refused() -> None:
    tee = SimulatedTee(TRAINER, SERVICE_KEY, lambda _: b"nonsense", MEASUREMENT)
    with pytest.raises(EncodingRefused):
        tee.evidence(REPORT_DATA)


def test_service_under_another_key_is_refused() -> None:
    stranger = Authority.generate(NOW)
    tee = SimulatedTee(
        TRAINER, SERVICE_KEY, lambda request: answer(stranger, request, NOW), MEASUREMENT
    )
    with pytest.raises(EvidenceRefused, match="not a request to this service"):
        tee.evidence(REPORT_DATA)


def test_measurement_of_another_length_does_not_leave_the_core() -> None:
    tee = SimulatedTee(TRAINER, SERVICE_KEY, lambda _: b"", bytes(31))
    with pytest.raises(EncodingRefused):
        tee.sealing_key(b"label")


def test_request_shows_nothing_of_its_label() -> None:
    request = SealingKeyRequest(TRAINER, MEASUREMENT, b"a long label", SERVICE_KEY)
    assert b"a long label" not in seal_request(SERVICE_KEY, request)


@pytest.fixture
def device(tmp_path: Path) -> Path:
    """What Gramine shows below /dev/attestation, as files."""
    (tmp_path / "keys").mkdir()
    (tmp_path / "attestation_type").write_bytes(b"dcap")
    (tmp_path / "quote").write_bytes(b"a quote")
    (tmp_path / "keys" / "_sgx_mrenclave").write_bytes(bytes(range(16)))
    return tmp_path


def gramine(device: Path) -> Tee:
    return GramineTee(lambda quote: (b"collateral of " + quote, b"root"), device)


def test_gramine_quotes_what_was_written(device: Path) -> None:
    evidence = gramine(device).evidence(REPORT_DATA)
    assert evidence == Evidence(SGX, b"a quote", b"collateral of a quote", b"root")
    assert (device / "user_report_data").read_bytes() == REPORT_DATA


def test_gramine_sealing_key_depends_on_hardware_and_label(device: Path) -> None:
    tee = gramine(device)
    keys = [tee.sealing_key(b"a"), tee.sealing_key(b"a"), tee.sealing_key(b"b")]
    assert keys[0] == keys[1]
    assert bytes(range(16)) not in keys[0]
    (device / "keys" / "_sgx_mrenclave").write_bytes(bytes(16))
    assert len({*keys, tee.sealing_key(b"a")}) == 3
    assert {len(key) for key in keys} == {32}


def test_gramine_without_a_quote_is_refused(device: Path) -> None:
    (device / "quote").unlink()
    with pytest.raises(EvidenceRefused, match="no quote"):
        gramine(device).evidence(REPORT_DATA)


def test_gramine_without_a_sealing_key_is_refused(device: Path) -> None:
    (device / "keys" / "_sgx_mrenclave").unlink()
    with pytest.raises(EvidenceRefused, match="no sealing key"):
        gramine(device).sealing_key(b"a")


def test_gramine_with_a_short_sealing_key_is_refused(device: Path) -> None:
    (device / "keys" / "_sgx_mrenclave").write_bytes(b"")
    with pytest.raises(EvidenceRefused, match="no usable sealing key"):
        gramine(device).sealing_key(b"a")


def test_gramine_is_recognised_by_its_attestation_type(device: Path) -> None:
    assert inside_gramine(device)
    (device / "attestation_type").write_bytes(b"none")
    assert not inside_gramine(device)
    (device / "attestation_type").unlink()
    assert not inside_gramine(device)
    assert not inside_gramine()
