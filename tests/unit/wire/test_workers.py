"""What workers say: reports and heartbeats of one boot, epoch and number pass for no other."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chiron_stream.errors import TamperDetected
from chiron_stream.wire import labels, workers
from chiron_stream.wire.canonical import EncodingRefused
from chiron_stream.wire.crypto import derive, seal, sha256
from chiron_stream.wire.workers import (
    GrantRequest,
    Heartbeat,
    Join,
    PresenceRecord,
    Report,
    ReportRecord,
    Scope,
    SlotResult,
    open_presence,
    open_report,
    read_record,
    seal_presence,
    seal_report,
)
from tests.unit.wire.conftest import Unguard
from tests.unit.wire.damage import assert_only_the_original_reads
from tests.unit.wire.forms import documents
from tests.unit.wire.parties import (
    BOOT,
    HEAD,
    JOB,
    OTHER_BOOT,
    OTHER_SCOPES,
    OTHER_SECRET,
    REF,
    SCOPE,
    SECRET,
    STRANGER,
    TRAINER,
)

BODY = GrantRequest(bytes([1]) * 16)
BEAT = Heartbeat(bytes([2]) * 32, 17)
MOVED: list[dict[str, Any]] = [{"boot": OTHER_BOOT}, {"epoch": 4}, {"number": 8}]


def scope_of(record: ReportRecord | PresenceRecord) -> Scope:
    """Return the scope that a record claims, as the coordinator takes it."""
    return Scope(JOB, HEAD, record.epoch, record.boot)


def reported(data: bytes, secret: bytes = SECRET, key: bytes = TRAINER.public) -> Report:
    record = read_record(data)
    assert isinstance(record, ReportRecord)
    return open_report(secret, key, scope_of(record), record)


def heard(data: bytes, secret: bytes = SECRET) -> Heartbeat:
    record = PresenceRecord.unpack(data)
    return open_presence(secret, scope_of(record), record)


REPORT = seal_report(SECRET, SCOPE, 7, BODY, TRAINER.sign)
PRESENCE = seal_presence(SECRET, SCOPE, 7, BEAT)


@given(st.one_of(documents(SlotResult), documents(GrantRequest)), st.integers(0, 2**64 - 1))
def test_report_comes_back(body: Report, number: int) -> None:
    assert reported(seal_report(SECRET, SCOPE, number, body, TRAINER.sign)) == body


def test_report_is_refused_with_any_byte_altered() -> None:
    assert_only_the_original_reads(reported, REPORT)


def test_report_of_another_signer_is_refused(without_signatures: Unguard) -> None:
    forged = seal_report(SECRET, SCOPE, 7, BODY, STRANGER.sign)
    with pytest.raises(TamperDetected) as caught:
        reported(forged)
    assert caught.value.code == "SIGNATURE"
    without_signatures(workers)
    assert reported(forged) == BODY


def test_report_under_another_secret_is_refused() -> None:
    with pytest.raises(TamperDetected) as caught:
        reported(REPORT, OTHER_SECRET)
    assert caught.value.code == "DOES_NOT_OPEN"


@pytest.mark.parametrize("what", OTHER_SCOPES)
def test_report_is_refused_in_another(what: str) -> None:
    with pytest.raises(TamperDetected):
        open_report(SECRET, TRAINER.public, OTHER_SCOPES[what], ReportRecord.unpack(REPORT))


@pytest.mark.parametrize("parts", MOVED, ids=str)
def test_report_moved_to_another_is_refused(parts: dict[str, Any]) -> None:
    with pytest.raises(TamperDetected):
        reported(replace(ReportRecord.unpack(REPORT), **parts).pack())


@pytest.mark.parametrize("parts", MOVED, ids=str)
def test_seal_alone_keeps_a_report_in_its_place(
    parts: dict[str, Any], without_signatures: Unguard, without_context: Unguard
) -> None:
    without_signatures(workers)
    with pytest.raises(TamperDetected) as caught:
        reported(replace(ReportRecord.unpack(REPORT), **parts).pack())
    assert caught.value.code == "DOES_NOT_OPEN"
    without_context(workers)
    bare = seal_report(SECRET, SCOPE, 7, BODY, TRAINER.sign)
    assert reported(replace(ReportRecord.unpack(bare), **parts).pack()) == BODY


def test_report_that_is_no_report_is_refused() -> None:
    context = SCOPE.context(ReportRecord.KIND, 7)
    sealed = seal(derive(SECRET, labels.WELCOME_REPORTS), context, REF.pack())
    signature = TRAINER.sign(labels.SIGN_WORKER, sha256(labels.SIGN_WORKER, context, sealed))
    with pytest.raises(EncodingRefused):
        reported(ReportRecord(BOOT, 3, 7, sealed, signature).pack())


def test_heartbeat_comes_back() -> None:
    assert heard(PRESENCE) == BEAT


def test_heartbeat_is_refused_with_any_byte_altered() -> None:
    assert_only_the_original_reads(heard, PRESENCE)


def test_heartbeat_under_another_secret_is_refused() -> None:
    with pytest.raises(TamperDetected):
        heard(PRESENCE, OTHER_SECRET)


@pytest.mark.parametrize("what", OTHER_SCOPES)
def test_heartbeat_is_refused_in_another(what: str) -> None:
    with pytest.raises(TamperDetected):
        open_presence(SECRET, OTHER_SCOPES[what], PresenceRecord.unpack(PRESENCE))


@pytest.mark.parametrize("parts", MOVED, ids=str)
def test_heartbeat_moved_to_another_is_refused(
    parts: dict[str, Any], without_context: Unguard
) -> None:
    with pytest.raises(TamperDetected):
        heard(replace(PresenceRecord.unpack(PRESENCE), **parts).pack())
    without_context(workers)
    bare = PresenceRecord.unpack(seal_presence(SECRET, SCOPE, 7, BEAT))
    assert heard(replace(bare, **parts).pack()) == BEAT


def test_report_does_not_open_as_a_heartbeat_or_the_other_way_round() -> None:
    report, beat = ReportRecord.unpack(REPORT), PresenceRecord.unpack(PRESENCE)
    with pytest.raises(TamperDetected):
        heard(replace(beat, sealed=report.sealed).pack())
    with pytest.raises(TamperDetected):
        reported(replace(report, sealed=beat.sealed).pack())


def test_join_is_read_beside_reports() -> None:
    join = Join(b"akd", b"evidence")
    assert read_record(join.pack()) == join
