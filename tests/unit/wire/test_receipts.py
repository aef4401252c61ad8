"""Receipts: signed by an appraised coordinator, leaves of their root; plans for one auditor."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chiron_stream.errors import TamperDetected
from chiron_stream.wire import labels, receipts
from chiron_stream.wire.canonical import EncodingRefused
from chiron_stream.wire.crypto import XWingPrivateKey, hpke_seal, sha256
from chiron_stream.wire.receipts import (
    Checkpoint,
    CheckpointRecord,
    Conflict,
    ConflictRecord,
    Plan,
    PlanRecord,
    checkpoint_hash,
    leaves_root,
    open_plan,
    read_checkpoint,
    read_conflict,
    read_record,
    seal_plan,
    shard_leaf,
    sign_checkpoint,
    sign_conflict,
)
from tests.unit.wire.conftest import Unguard
from tests.unit.wire.damage import assert_only_the_original_reads
from tests.unit.wire.forms import documents
from tests.unit.wire.parties import (
    AUDITOR_HPKE,
    COORDINATOR,
    COORDINATOR_AKD,
    HEAD,
    JOB,
    OTHER_AKD,
    OTHER_HPKE,
    OTHER_JOB,
    OWNER,
    STRANGER,
)

LEAVES = tuple(shard_leaf(bytes([1]) * 16, number, bytes([number]) * 32) for number in range(3))
CHECKPOINT = Checkpoint(
    job=JOB,
    policy_version=1,
    policy_head=HEAD,
    epoch=3,
    index=40,
    journal_head=bytes([2]) * 32,
    round=5,
    version=5,
    release=1,
    accepted=9,
    trained=3,
    void=0,
    parked=0,
    finished=False,
    disclosed=0,
    scored=0,
    root=leaves_root(LEAVES),
    commitment=bytes([3]) * 32,
    previous=bytes([4]) * 32,
)
CONFLICT = Conflict(JOB, 1, HEAD, 3, 41, bytes([8]) * 32, LEAVES[0], LEAVES[1])
RECORD = sign_checkpoint(CHECKPOINT, LEAVES, COORDINATOR_AKD, COORDINATOR.sign)
PLAN = Plan(5, 5, bytes([5]) * 32, bytes([6]) * 32, bytes([7]) * 32, ())


def sealed_plan(plan: Plan) -> bytes:
    return seal_plan(
        OWNER.public, AUDITOR_HPKE.public, JOB, plan, COORDINATOR_AKD, COORDINATOR.sign
    )


PLAN_RECORD = sealed_plan(PLAN)


def read(data: bytes, key: bytes = COORDINATOR.public) -> Checkpoint:
    record = read_record(data)
    assert isinstance(record, CheckpointRecord)
    return read_checkpoint(record, key)


def assert_code(code: str, data: bytes, key: bytes = COORDINATOR.public) -> None:
    with pytest.raises(TamperDetected) as caught:
        read(data, key)
    assert caught.value.code == code


def read_conflict_of(data: bytes, key: bytes = COORDINATOR.public) -> Conflict:
    return read_conflict(ConflictRecord.unpack(data), key)


def test_conflict_is_refused_with_any_byte_altered() -> None:
    record = sign_conflict(CONFLICT, COORDINATOR_AKD, COORDINATOR.sign)
    assert read_conflict_of(record) == CONFLICT
    assert_only_the_original_reads(read_conflict_of, record)


def test_conflict_of_another_signer_is_refused(without_signatures: Unguard) -> None:
    forged = sign_conflict(CONFLICT, COORDINATOR_AKD, STRANGER.sign)
    with pytest.raises(TamperDetected) as caught:
        read_conflict_of(forged)
    assert caught.value.code == "SIGNATURE"
    without_signatures(receipts)
    assert read_conflict_of(forged) == CONFLICT


@settings(max_examples=30)
@given(documents(Checkpoint), st.lists(st.binary(min_size=32, max_size=32), max_size=4))
def test_checkpoint_comes_back(checkpoint: Checkpoint, leaves: list[bytes]) -> None:
    honest = replace(checkpoint, root=leaves_root(leaves))
    assert read(sign_checkpoint(honest, leaves, COORDINATOR_AKD, COORDINATOR.sign)) == honest


def test_checkpoint_is_refused_with_any_byte_altered() -> None:
    assert_only_the_original_reads(read, RECORD)


def test_checkpoint_of_another_signer_is_refused(without_signatures: Unguard) -> None:
    forged = sign_checkpoint(CHECKPOINT, LEAVES, COORDINATOR_AKD, STRANGER.sign)
    assert_code("SIGNATURE", forged)
    without_signatures(receipts)
    assert read(forged) == CHECKPOINT


def test_checkpoint_that_names_another_signer_than_signed_is_refused() -> None:
    forged = replace(CheckpointRecord.unpack(RECORD), signer=OTHER_AKD)
    assert_code("SIGNATURE", forged.pack())


def test_checkpoint_under_a_weak_key_is_refused() -> None:
    weak = b"\x01" + bytes(31)
    forged = replace(CheckpointRecord.unpack(RECORD), signature=weak + bytes(32))
    assert_code("SIGNATURE", forged.pack(), weak)


def test_signature_of_one_checkpoint_does_not_pass_for_another() -> None:
    other = sign_checkpoint(replace(CHECKPOINT, index=41), LEAVES, COORDINATOR_AKD, OWNER.sign)
    moved = replace(
        CheckpointRecord.unpack(other), signature=CheckpointRecord.unpack(RECORD).signature
    )
    assert_code("SIGNATURE", moved.pack())


def test_leaves_that_are_not_the_roots_are_refused() -> None:
    record = CheckpointRecord.unpack(RECORD)
    for leaves in (LEAVES[:2], (*LEAVES, LEAVES[0]), LEAVES[::-1], (), (bytes(32), *LEAVES[1:])):
        assert_code("RECEIPT_ROOT", replace(record, leaves=leaves).pack())


def test_root_is_over_leaves_in_order() -> None:
    assert leaves_root(LEAVES) == sha256(labels.SHARD_NODE, *LEAVES)
    assert len({leaves_root(LEAVES), leaves_root(LEAVES[::-1]), leaves_root(LEAVES[:2])}) == 3


def test_leaf_tells_session_number_and_digest_apart() -> None:
    found = {
        shard_leaf(bytes([session]) * 16, number, bytes([digest]) * 32)
        for session in (1, 2)
        for number in (1, 2)
        for digest in (1, 2)
    }
    assert len(found) == 8


def test_hash_of_a_checkpoint_is_over_its_bytes() -> None:
    packed = CHECKPOINT.pack()
    assert checkpoint_hash(packed) == sha256(labels.CHECKPOINT, packed)
    assert CheckpointRecord.unpack(RECORD).checkpoint == packed


def planned(
    data: bytes = PLAN_RECORD,
    job: bytes = JOB,
    key: XWingPrivateKey = AUDITOR_HPKE,
    signing_key: bytes = COORDINATOR.public,
) -> Plan:
    record = read_record(data)
    assert isinstance(record, PlanRecord)
    return open_plan(record, job, key, signing_key)


def signed_again(record: PlanRecord) -> bytes:
    """Sign other contents with the coordinator's key: the seal must refuse them."""
    context = sha256(labels.INFO_PLAN, JOB, record.auditor, record.round.to_bytes(8, "big"))
    message = sha256(labels.SIGN_PLAN, context, record.sealed, record.signer)
    return replace(record, signature=COORDINATOR.sign(labels.SIGN_PLAN, message)).pack()


@settings(max_examples=30)
@given(documents(Plan))
def test_plan_comes_back(plan: Plan) -> None:
    assert planned(sealed_plan(plan)) == plan


def test_plan_does_not_open_for_another_auditor() -> None:
    with pytest.raises(TamperDetected):
        planned(key=OTHER_HPKE)


def test_plan_does_not_open_for_another_job() -> None:
    with pytest.raises(TamperDetected):
        planned(job=OTHER_JOB)


def test_plan_does_not_open_as_that_of_another_round() -> None:
    with pytest.raises(TamperDetected):
        planned(signed_again(replace(PlanRecord.unpack(PLAN_RECORD), round=6)))


def test_plan_signed_by_somebody_else_is_refused() -> None:
    with pytest.raises(TamperDetected) as refused:
        planned(signing_key=OWNER.public)
    assert refused.value.code == "SIGNATURE"


def test_plan_that_anybody_sealed_to_the_auditor_is_refused() -> None:
    context = sha256(labels.INFO_PLAN, JOB, OWNER.public, (5).to_bytes(8, "big"))
    sealed = hpke_seal(AUDITOR_HPKE.public, PLAN.pack(), labels.INFO_PLAN + context)
    forged = replace(PlanRecord.unpack(PLAN_RECORD), sealed=sealed)
    with pytest.raises(TamperDetected) as refused:
        planned(forged.pack())
    assert refused.value.code == "SIGNATURE"
    assert planned(signed_again(forged)) == PLAN, "the control: with the signature it is a plan"


def test_plan_of_another_round_than_its_record_is_refused() -> None:
    context = sha256(labels.INFO_PLAN, JOB, OWNER.public, (6).to_bytes(8, "big"))
    sealed = hpke_seal(AUDITOR_HPKE.public, PLAN.pack(), labels.INFO_PLAN + context)
    with pytest.raises(TamperDetected) as refused:
        planned(signed_again(replace(PlanRecord.unpack(PLAN_RECORD), round=6, sealed=sealed)))
    assert refused.value.code == "PLAN_ROUND"


def test_plan_is_refused_with_any_sealed_byte_altered() -> None:
    record = PlanRecord.unpack(PLAN_RECORD)
    assert_only_the_original_reads(
        lambda sealed: planned(signed_again(replace(record, sealed=sealed))), record.sealed
    )


def test_sealed_plan_that_is_no_plan_is_refused() -> None:
    context = sha256(labels.INFO_PLAN, JOB, OWNER.public, (5).to_bytes(8, "big"))
    sealed = hpke_seal(AUDITOR_HPKE.public, CHECKPOINT.pack(), labels.INFO_PLAN + context)
    with pytest.raises(EncodingRefused):
        planned(signed_again(replace(PlanRecord.unpack(PLAN_RECORD), sealed=sealed)))
