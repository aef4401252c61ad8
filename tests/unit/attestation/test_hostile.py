"""Hostile bytes: appraisal refuses them with its own error, or finds the genuine meaning."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chiron_stream.attestation.evidence import (
    COLLATERAL_LIMIT,
    QUOTE_LIMIT,
    ROOT_LIMIT,
    Evidence,
)
from chiron_stream.errors import EvidenceRefused
from chiron_stream.simulation.authority import Authority
from chiron_stream.wire.canonical import EncodingRefused
from tests.unit.attestation.workers import DOCUMENT, MEASUREMENT, NOW, Worker

WORKER = Worker(Authority.generate(NOW))
EVIDENCE = WORKER.evidence()
PACKED = DOCUMENT.pack()


@st.composite
def altered(draw: st.DrawFn, original: bytes) -> bytes:
    """Cut a piece out of some bytes and put another one in its place, up to three times."""
    data = original
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(data)))
        end = min(len(data), at + draw(st.sampled_from([0, 1, 1, 2, 16, 500])))
        data = data[:at] + draw(st.binary(max_size=4)) + data[end:]
    return data


def judge(evidence: Evidence, akd: bytes) -> None:
    try:
        appraised = WORKER.appraise(evidence=evidence, akd=akd)
    except EvidenceRefused as error:
        refused = error
    else:
        # White space in a certificate chain, say: bytes that mean the same.
        assert (appraised.document, appraised.mr_enclave) == (DOCUMENT, MEASUREMENT)
        return
    assert refused.reasons
    assert all(reason.isprintable() and len(reason) < 300 for reason in refused.reasons)


@settings(max_examples=150)
@given(altered(EVIDENCE.quote))
def test_altered_quote(quote: bytes) -> None:
    judge(replace(EVIDENCE, quote=quote), PACKED)


@settings(max_examples=150)
@given(altered(EVIDENCE.collateral))
def test_altered_collateral(collateral: bytes) -> None:
    judge(replace(EVIDENCE, collateral=collateral), PACKED)


@settings(max_examples=50)
@given(altered(EVIDENCE.root))
def test_altered_root(root: bytes) -> None:
    judge(replace(EVIDENCE, root=root), PACKED)


@settings(max_examples=100)
@given(altered(PACKED))
def test_altered_document_is_refused(akd: bytes) -> None:
    if akd != PACKED:
        with pytest.raises(EvidenceRefused):
            WORKER.appraise(evidence=EVIDENCE, akd=akd)


@settings(max_examples=100)
@given(st.binary(max_size=600), st.binary(max_size=200), st.binary(max_size=200))
def test_bytes_of_any_kind_are_refused(quote: bytes, collateral: bytes, akd: bytes) -> None:
    evidence = Evidence(EVIDENCE.profile, quote, collateral, EVIDENCE.root)
    with pytest.raises(EvidenceRefused):
        WORKER.appraise(evidence=evidence, akd=akd)


@pytest.mark.parametrize(
    "fields",
    [
        {"quote": bytes(QUOTE_LIMIT + 1)},
        {"collateral": bytes(COLLATERAL_LIMIT + 1)},
        {"root": bytes(ROOT_LIMIT + 1)},
    ],
)
def test_evidence_beyond_its_limits_does_not_pack(fields: dict[str, bytes]) -> None:
    with pytest.raises(EncodingRefused):
        replace(EVIDENCE, **fields).pack()  # type: ignore[arg-type]


def test_evidence_comes_back_from_its_bytes() -> None:
    assert Evidence.unpack(EVIDENCE.pack()) == EVIDENCE
    assert len(EVIDENCE.quote) < QUOTE_LIMIT / 2
    assert len(EVIDENCE.collateral) < COLLATERAL_LIMIT / 4
