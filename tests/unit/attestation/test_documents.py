"""Attested key document, REPORTDATA, policy, measurement and messages of the quoting service."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import pytest

from chiron_stream.attestation import akd, quoting
from chiron_stream.attestation.evidence import TRAINER, EvidencePolicy
from chiron_stream.attestation.measurement import FILES, LOCK, measure, measured
from chiron_stream.errors import BugFound, EvidenceRefused, TamperDetected
from chiron_stream.wire import labels
from chiron_stream.wire.canonical import EncodingRefused
from chiron_stream.wire.crypto import XWingPrivateKey
from tests.unit.attestation.workers import DOCUMENT, HPKE_KEY, MEASUREMENT, Worker

SERVICE = XWingPrivateKey(bytes([6]) * 32)
REQUEST = quoting.QuoteRequest(TRAINER, MEASUREMENT, bytes(64), HPKE_KEY.public)
KEY = quoting.SealingKeyAnswer(bytes([7]) * 32)


def test_document_comes_back_from_its_bytes() -> None:
    assert akd.AttestedKeyDocument.unpack(DOCUMENT.pack()) == DOCUMENT


def test_document_of_another_version_does_not_pack() -> None:
    with pytest.raises(EncodingRefused):
        replace(DOCUMENT, version=2).pack()


@pytest.mark.parametrize("field", ["job_id", "policy_head", "hpke_key", "signing_key", "boot"])
def test_document_with_a_key_or_hash_of_another_length_does_not_pack(field: str) -> None:
    wrong: dict[str, Any] = {field: bytes(33)}
    with pytest.raises(EncodingRefused):
        replace(DOCUMENT, **wrong).pack()


def test_report_data_is_the_hash_of_label_length_and_document() -> None:
    packed = DOCUMENT.pack()
    wanted = hashlib.sha256(labels.AKD + len(packed).to_bytes(8, "big") + packed).digest()
    assert akd.akd_hash(packed) == wanted
    assert akd.report_data(packed) == wanted + bytes(32)
    assert akd.report_data(packed, bytes([8]) * 32) == wanted + bytes([8]) * 32


def test_challenge_of_another_length_is_an_error() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        akd.report_data(b"", bytes(31))


def test_policy_comes_back_from_its_bytes(worker: Worker) -> None:
    policy = worker.policy()
    assert EvidencePolicy.unpack(policy.pack()) == policy
    without = worker.policy(service_key=None)
    assert EvidencePolicy.unpack(without.pack()) == without


def test_measured_files_are_those_of_the_core() -> None:
    core = ["enclave_workers/core/loop.py", "chiron_stream/wire/crypto.py"]
    others = [
        "enclave_workers/core/loop.pyc",
        "chiron_stream/cli/main.py",
        "chiron_stream/topics/a.py",
    ]
    assert measured([*others, *core, *FILES]) == sorted([*core, *FILES])


def test_core_without_its_lock_file_cannot_be_measured() -> None:
    with pytest.raises(BugFound, match="cannot be measured"):
        measured(name for name in FILES if name != LOCK)


def test_measurement_tells_role_names_and_contents_apart() -> None:
    found = {
        measure(role, files)
        for role in ("trainer", "predictor")
        for files in ({"a": b"bc"}, {"ab": b"c"}, {"a": b"b", "c": b""}, {"a": b"", "b": b"c"})
    }
    assert len(found) == 8


def test_measurement_does_not_depend_on_the_order_of_files() -> None:
    files = {"b": b"1", "a": b"2"}
    assert measure("trainer", files) == measure("trainer", dict(sorted(files.items())))


def test_request_opens_at_the_service_only() -> None:
    sealed = quoting.seal_request(SERVICE.public, REQUEST)
    assert quoting.open_request(SERVICE, sealed) == REQUEST
    with pytest.raises(TamperDetected):
        quoting.open_request(HPKE_KEY, sealed)


def test_answer_opens_for_its_request_only() -> None:
    first, second = (quoting.seal_request(SERVICE.public, REQUEST) for _ in range(2))
    frame = quoting.seal_answer(REQUEST, first, KEY)
    assert quoting.open_answer(HPKE_KEY, first, frame) == KEY
    with pytest.raises(TamperDetected):
        quoting.open_answer(HPKE_KEY, second, frame)
    with pytest.raises(TamperDetected):
        quoting.open_answer(SERVICE, first, frame)


def test_request_does_not_pass_for_an_answer() -> None:
    sealed = quoting.seal_request(SERVICE.public, REQUEST)
    with pytest.raises(EncodingRefused):
        quoting.open_answer(HPKE_KEY, sealed, sealed)


def test_refusal_is_said_with_its_reason() -> None:
    with pytest.raises(EvidenceRefused, match="too tired"):
        quoting.open_answer(HPKE_KEY, b"", quoting.QuotingRefused("too tired").pack())


def test_sealing_key_is_not_in_its_representation() -> None:
    assert "07" not in repr(KEY)
    assert "\\x07" not in repr(KEY)
