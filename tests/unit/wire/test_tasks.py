"""What the coordinator tells workers: to this boot, in this epoch, by this signer, once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chiron_stream.errors import TamperDetected
from chiron_stream.wire import labels, tasks, workers
from chiron_stream.wire.canonical import EncodingRefused
from chiron_stream.wire.crypto import XWingPrivateKey, derive, seal, sha256
from chiron_stream.wire.tasks import (
    KeyedObject,
    Serve,
    SlotTask,
    Task,
    TaskRecord,
    Welcome,
    open_task,
    open_welcome,
    read_record,
    seal_task,
    seal_welcome,
)
from chiron_stream.wire.workers import ReportRecord, Scope
from tests.unit.wire.conftest import Unguard
from tests.unit.wire.damage import assert_only_the_original_reads
from tests.unit.wire.forms import documents
from tests.unit.wire.parties import (
    BOOT,
    COORDINATOR,
    COORDINATOR_AKD,
    HEAD,
    JOB,
    KEY,
    OTHER_AKD,
    OTHER_BOOT,
    OTHER_HPKE,
    OTHER_SCOPES,
    OTHER_SECRET,
    REF,
    SCOPE,
    SECRET,
    STRANGER,
    TRAINER_AKD,
    TRAINER_HPKE,
)

BODY = Serve(1, 2, bytes([1]) * 32, KeyedObject(REF, KEY), KeyedObject(REF, KEY), KEY)
WELCOME = seal_welcome(
    SCOPE, COORDINATOR_AKD, TRAINER_AKD, TRAINER_HPKE.public, SECRET, COORDINATOR.sign
)
TASK = seal_task(SECRET, SCOPE, 5, BODY, COORDINATOR.sign)


def welcomed(
    data: bytes,
    *,
    coordinator: bytes = COORDINATOR_AKD,
    signing_key: bytes = COORDINATOR.public,
    worker: bytes = TRAINER_AKD,
    key: XWingPrivateKey = TRAINER_HPKE,
) -> bytes:
    """Do what a worker does with a Welcome that names its boot."""
    record = Welcome.unpack(data)
    if record.coordinator != coordinator:
        raise TamperDetected("another coordinator's", code="COORDINATOR")
    scope = Scope(JOB, HEAD, record.epoch, record.boot)
    return open_welcome(record, scope, coordinator, signing_key, worker, key)


def told(data: bytes, secret: bytes = SECRET, signing_key: bytes = COORDINATOR.public) -> Task:
    record = read_record(data)
    assert isinstance(record, TaskRecord)
    return open_task(secret, signing_key, Scope(JOB, HEAD, record.epoch, record.boot), record)


def test_welcome_brings_the_secret() -> None:
    assert welcomed(WELCOME) == SECRET


def test_welcome_is_refused_with_any_byte_altered() -> None:
    assert_only_the_original_reads(welcomed, WELCOME)


def test_welcome_of_another_signer_is_refused(without_signatures: Unguard) -> None:
    forged = seal_welcome(
        SCOPE, COORDINATOR_AKD, TRAINER_AKD, TRAINER_HPKE.public, SECRET, STRANGER.sign
    )
    with pytest.raises(TamperDetected) as caught:
        welcomed(forged)
    assert caught.value.code == "SIGNATURE"
    without_signatures(tasks)
    assert welcomed(forged) == SECRET


@pytest.mark.parametrize("what", OTHER_SCOPES)
def test_welcome_is_refused_in_another(what: str, without_signatures: Unguard) -> None:
    record, scope = Welcome.unpack(WELCOME), OTHER_SCOPES[what]
    arguments = (COORDINATOR_AKD, COORDINATOR.public, TRAINER_AKD, TRAINER_HPKE)
    with pytest.raises(TamperDetected):
        open_welcome(record, scope, *arguments)
    without_signatures(tasks)
    with pytest.raises(TamperDetected) as caught:  # the encapsulation is bound as well
        open_welcome(record, scope, *arguments)
    assert caught.value.code == "HPKE_OPEN"


def test_welcome_to_another_key_document_is_refused() -> None:
    with pytest.raises(TamperDetected):
        welcomed(WELCOME, worker=OTHER_AKD)


def test_welcome_from_another_key_document_is_refused() -> None:
    renamed = replace(Welcome.unpack(WELCOME), coordinator=OTHER_AKD).pack()
    with pytest.raises(TamperDetected):
        welcomed(renamed, coordinator=OTHER_AKD)


def test_welcome_to_another_boot_key_is_refused() -> None:
    with pytest.raises(TamperDetected) as caught:
        welcomed(WELCOME, key=OTHER_HPKE)
    assert caught.value.code == "HPKE_OPEN"


@settings(max_examples=30)
@given(st.one_of(documents(SlotTask), documents(Serve)), st.integers(0, 2**64 - 1))
def test_task_comes_back(body: Task, number: int) -> None:
    assert told(seal_task(SECRET, SCOPE, number, body, COORDINATOR.sign)) == body


def test_task_is_refused_with_any_byte_altered() -> None:
    assert_only_the_original_reads(told, TASK)


def test_task_of_another_signer_is_refused(without_signatures: Unguard) -> None:
    forged = seal_task(SECRET, SCOPE, 5, BODY, STRANGER.sign)
    with pytest.raises(TamperDetected) as caught:
        told(forged)
    assert caught.value.code == "SIGNATURE"
    without_signatures(workers)
    assert told(forged) == BODY


def test_task_under_another_welcome_is_refused() -> None:
    with pytest.raises(TamperDetected) as caught:
        told(TASK, OTHER_SECRET)
    assert caught.value.code == "DOES_NOT_OPEN"


@pytest.mark.parametrize("what", OTHER_SCOPES)
def test_task_is_refused_in_another(what: str) -> None:
    with pytest.raises(TamperDetected):
        open_task(SECRET, COORDINATOR.public, OTHER_SCOPES[what], TaskRecord.unpack(TASK))


MOVED: list[dict[str, Any]] = [{"boot": OTHER_BOOT}, {"epoch": 4}, {"number": 6}]


@pytest.mark.parametrize("parts", MOVED, ids=str)
def test_task_moved_to_another_is_refused(parts: dict[str, Any]) -> None:
    with pytest.raises(TamperDetected):
        told(replace(TaskRecord.unpack(TASK), **parts).pack())


@pytest.mark.parametrize("parts", MOVED, ids=str)
def test_seal_alone_keeps_a_task_in_its_place(
    parts: dict[str, Any], without_signatures: Unguard, without_context: Unguard
) -> None:
    without_signatures(workers)
    with pytest.raises(TamperDetected) as caught:
        told(replace(TaskRecord.unpack(TASK), **parts).pack())
    assert caught.value.code == "DOES_NOT_OPEN"
    without_context(workers)
    bare = seal_task(SECRET, SCOPE, 5, BODY, COORDINATOR.sign)
    assert told(replace(TaskRecord.unpack(bare), **parts).pack()) == BODY


def test_task_whose_signature_is_for_a_report_is_refused() -> None:
    context = SCOPE.context(ReportRecord.KIND, 5)
    sealed = seal(derive(SECRET, labels.WELCOME_TASKS), context, BODY.pack())
    signature = COORDINATOR.sign(labels.SIGN_WORKER, sha256(labels.SIGN_WORKER, context, sealed))
    with pytest.raises(TamperDetected):
        told(TaskRecord(BOOT, 3, 5, sealed, signature).pack())


def test_task_that_is_no_task_is_refused() -> None:
    context = SCOPE.context(TaskRecord.KIND, 5)
    sealed = seal(derive(SECRET, labels.WELCOME_TASKS), context, REF.pack())
    signature = COORDINATOR.sign(labels.SIGN_WORKER, sha256(labels.SIGN_WORKER, context, sealed))
    with pytest.raises(EncodingRefused):
        told(TaskRecord(BOOT, 3, 5, sealed, signature).pack())


def test_welcome_is_read_beside_tasks() -> None:
    assert isinstance(read_record(WELCOME), Welcome)
    assert isinstance(read_record(TASK), TaskRecord)
