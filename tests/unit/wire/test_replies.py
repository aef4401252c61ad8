"""Replies: of this session, at this number, from the coordinator."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chiron_stream.errors import TamperDetected
from chiron_stream.wire import replies
from chiron_stream.wire.canonical import EncodingRefused, encode
from chiron_stream.wire.crypto import seal
from chiron_stream.wire.replies import (
    Accept,
    Acknowledged,
    Imported,
    ImportRefused,
    Reply,
    ReplyRecord,
    SessionRefused,
    ShardParked,
    ShardTrained,
    ShardVoid,
    Superseded,
    open_reply,
    read_record,
    seal_reply,
)
from tests.unit.wire.conftest import Unguard
from tests.unit.wire.damage import assert_only_the_original_reads
from tests.unit.wire.forms import documents
from tests.unit.wire.parties import KEY, OTHER_KEY, REF

SESSION, OTHER_SESSION = bytes([1]) * 16, bytes([2]) * 16
BODY = Accept(3, b"token", (), fin=False)
KINDS = (
    Accept,
    Acknowledged,
    ShardParked,
    ShardVoid,
    ShardTrained,
    Imported,
    ImportRefused,
    Superseded,
)


def opened(data: bytes, key: bytes = KEY) -> Reply:
    record = read_record(data)
    assert isinstance(record, ReplyRecord)
    return open_reply(key, record)


@given(st.one_of([documents(one) for one in KINDS]), st.integers(0, 2**64 - 1))
def test_open_is_the_inverse_of_seal(body: Reply, number: int) -> None:
    assert opened(seal_reply(KEY, SESSION, number, body)) == body


def test_open_refuses_reply_with_any_byte_altered() -> None:
    assert_only_the_original_reads(opened, seal_reply(KEY, SESSION, 1, BODY))


@pytest.mark.parametrize("parts", [{"session": OTHER_SESSION}, {"number": 2}], ids=str)
def test_open_refuses_reply_moved_to_another(
    parts: dict[str, Any], without_context: Unguard
) -> None:
    moved = replace(ReplyRecord.unpack(seal_reply(KEY, SESSION, 1, BODY)), **parts)
    with pytest.raises(TamperDetected):
        open_reply(KEY, moved)
    without_context(replies)
    moved = replace(ReplyRecord.unpack(seal_reply(KEY, SESSION, 1, BODY)), **parts)
    assert open_reply(KEY, moved) == BODY


def test_open_refuses_reply_under_another_key() -> None:
    with pytest.raises(TamperDetected):
        opened(seal_reply(KEY, SESSION, 1, BODY), OTHER_KEY)


def test_open_refuses_sealed_document_that_is_no_reply() -> None:
    context = encode({0: ReplyRecord.KIND, 1: SESSION, 2: 1})
    record = ReplyRecord(SESSION, 1, seal(KEY, context, REF.pack()))
    with pytest.raises(EncodingRefused):
        open_reply(KEY, record)


def test_refused_session_is_told_in_clear() -> None:
    refused = SessionRefused(SESSION, "STALE")
    assert read_record(refused.pack()) == refused


def test_record_of_another_kind_is_refused() -> None:
    with pytest.raises(EncodingRefused):
        read_record(BODY.pack())


def test_same_reply_sealed_twice_gives_two_ciphertexts_that_both_open() -> None:
    first, second = (seal_reply(KEY, SESSION, 1, BODY) for _ in range(2))
    assert first != second
    assert opened(first) == opened(second) == BODY
