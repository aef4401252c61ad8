"""Session opens: who signed, to which boot, about which job, under which key."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from chiron_stream.errors import TamperDetected
from chiron_stream.wire import labels, session
from chiron_stream.wire.canonical import EncodingRefused
from chiron_stream.wire.crypto import XWingPrivateKey, gcm_seal, hpke_seal, sha256
from chiron_stream.wire.session import (
    ENC_BYTES,
    Intent,
    Purpose,
    SessionKeys,
    SessionOpen,
    admit,
    decapsulate,
    read_hello,
    session_keys,
)
from tests.unit.wire.conftest import Unguard
from tests.unit.wire.damage import assert_only_the_original_reads
from tests.unit.wire.parties import (
    COORDINATOR_HPKE,
    HELLO,
    OTHER_HPKE,
    OTHER_SECRET,
    SECRET,
    STRANGER,
    opened,
    signed_again,
)


def admitted(
    record: SessionOpen, key: XWingPrivateKey = COORDINATOR_HPKE
) -> tuple[SessionKeys, Intent]:
    """Do what a coordinator does, in its order."""
    read_hello(record)
    return admit(record, decapsulate(record, key))


def assert_code(code: str, record: SessionOpen, key: XWingPrivateKey = COORDINATOR_HPKE) -> None:
    with pytest.raises(TamperDetected) as caught:
        admitted(record, key)
    assert caught.value.code == code


def test_both_sides_have_the_same_keys_and_intent() -> None:
    record, keys = opened()
    assert admitted(SessionOpen.unpack(record.pack())) == (keys, Intent("icu"))
    assert read_hello(record) == HELLO
    assert decapsulate(record, COORDINATOR_HPKE) == SECRET


def test_session_id_is_of_hello_and_encapsulation() -> None:
    record, keys = opened()
    wanted = sha256(labels.SESSION_ID, record.hello, record.enc)[:16]
    assert record.session == keys.session == wanted


def test_every_kind_of_message_has_a_key_of_its_own() -> None:
    _, keys = opened()
    found = {keys.control, keys.commitment, keys.replies, keys.recipe, keys.queries, keys.answers}
    found |= {keys.shard(name, number) for name in ("icu", "ward") for number in (0, 1)}
    assert len(found) == 10
    assert {len(one) for one in found} == {32}
    assert keys.prk not in found


def test_data_sets_have_ids_that_depend_on_the_session() -> None:
    _, keys = opened()
    _, others = opened(OTHER_SECRET)
    assert len({keys.data_set("icu"), keys.data_set("ward"), others.data_set("icu")}) == 3
    assert len(keys.data_set("icu")) == 8


def test_operator_does_not_see_the_data_set_in_an_open() -> None:
    record, _ = opened(data_set="oncology-of-2025")
    assert b"oncology" not in record.pack()


def test_open_is_refused_with_any_byte_altered() -> None:
    record, _ = opened()
    assert_only_the_original_reads(lambda data: admitted(SessionOpen.unpack(data)), record.pack())


@pytest.mark.parametrize("field", ["hello", "enc", "commitment", "intent"])
def test_open_without_its_signature_checked_still_needs_every_part(
    field: str, without_signatures: Unguard
) -> None:
    record, _ = opened()
    part = getattr(record, field)
    forged: dict[str, Any] = {field: part[:-1] + bytes([part[-1] ^ 1])}
    without_signatures(session)
    with pytest.raises((TamperDetected, EncodingRefused)):
        admitted(replace(record, **forged))


def test_open_is_refused_by_another_boot() -> None:
    record, _ = opened()
    assert_code("HPKE_OPEN", record, OTHER_HPKE)


def test_open_signed_by_a_stranger_is_refused(without_signatures: Unguard) -> None:
    record, _ = opened()
    forged = signed_again(record, STRANGER)
    assert_code("SIGNATURE", forged)
    without_signatures(session)
    admitted(forged)


def test_open_of_a_weak_identity_is_refused() -> None:
    weak = b"\x01" + bytes(31)
    record, _ = opened(hello=replace(HELLO, identity=weak))
    # Good for every message, were it not for the check of the key.
    assert_code("SIGNATURE", replace(record, signature=weak + bytes(32)))


@pytest.mark.parametrize("suite", [0, 2])
def test_open_of_another_suite_is_refused(suite: int) -> None:
    record, _ = opened(hello=replace(HELLO, suite=suite))
    assert_code("SUITE", record)


def test_open_with_a_signature_under_another_label_is_refused() -> None:
    record, _ = opened()
    from tests.unit.wire.parties import OWNER

    forged = replace(record, signature=OWNER.sign(labels.SIGN_POLICY, record.signed))
    assert_code("SIGNATURE", forged)


def test_open_that_commits_to_another_key_is_refused() -> None:
    record, _ = opened()
    _, others = opened(OTHER_SECRET)
    assert_code("COMMITMENT", signed_again(record, commitment=others.commitment))


def test_open_with_the_encapsulation_of_another_secret_is_refused() -> None:
    record, _ = opened()
    other, _ = opened(OTHER_SECRET)
    assert_code("COMMITMENT", signed_again(record, enc=other.enc))


def test_open_with_the_intent_of_another_session_is_refused() -> None:
    record, _ = opened()
    other, _ = opened(OTHER_SECRET)
    assert_code("DOES_NOT_OPEN", signed_again(record, intent=other.intent))


def test_intent_is_sealed_for_its_session_alone(without_associated_data: Unguard) -> None:
    record, keys = opened()
    moved = gcm_seal(keys.control, 0, Intent("ward").pack(), bytes(16))
    assert_code("DOES_NOT_OPEN", signed_again(record, intent=moved))
    without_associated_data(session)
    bare = gcm_seal(keys.control, 0, Intent("ward").pack(), b"")
    assert admitted(signed_again(record, intent=bare))[1] == Intent("ward")


@pytest.mark.parametrize(
    "parts",
    [
        {"job": bytes(32)},
        {"policy_version": 2},
        {"policy_head": bytes(32)},
        {"coordinator": bytes(32)},
        {"purpose": Purpose.QUERY},
        {"opened_at": 1},
        {"answer_partition": 0},
    ],
    ids=lambda parts: next(iter(parts)),
)
def test_encapsulation_does_not_move_to_a_hello_that_differs_in(parts: dict[str, Any]) -> None:
    record, _ = opened()
    assert_code("HPKE_OPEN", signed_again(record, hello=replace(HELLO, **parts).pack()))


def test_open_whose_intent_is_no_intent_is_refused() -> None:
    record, keys = opened()
    sealed = gcm_seal(keys.control, 0, b"no document", keys.session)
    with pytest.raises(EncodingRefused):
        admitted(signed_again(record, intent=sealed))


def test_open_whose_hello_is_no_hello_is_refused() -> None:
    record, _ = opened()
    with pytest.raises(EncodingRefused):
        admitted(signed_again(record, hello=b"no document"))


@pytest.mark.parametrize("length", [0, 16, 31, 33, 64])
def test_open_with_a_secret_of_another_length_does_not_read(length: int) -> None:
    record, _ = opened()
    info = labels.INFO_SESSION + sha256(labels.SESSION_TRANSCRIPT, record.hello)
    enc = hpke_seal(COORDINATOR_HPKE.public, bytes(length), info)
    keys = session_keys(record.hello, enc, bytes(length))
    # A member could do this: everything else about it is in order.
    forged = signed_again(record, enc=enc, commitment=keys.commitment)
    with pytest.raises(EncodingRefused):
        forged.pack()


def test_encapsulation_has_the_one_length_that_a_secret_gives_it() -> None:
    record, _ = opened()
    assert len(record.enc) == ENC_BYTES == 1168
