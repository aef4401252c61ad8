"""Sessions and grants for predictors; queries and answers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chiron_stream.errors import PolicyRefused, TamperDetected
from chiron_stream.wire import labels, serving
from chiron_stream.wire.canonical import EncodingRefused, encode
from chiron_stream.wire.crypto import TAG, derive, extract, gcm_seal, seal
from chiron_stream.wire.serving import (
    AnswerBody,
    Grant,
    QueryName,
    QuerySession,
    SessionsRecord,
    Status,
    answer_name,
    open_answer,
    open_query,
    open_sessions,
    query_name,
    seal_answer,
    seal_query,
    seal_sessions,
)
from tests.unit.wire.conftest import Unguard
from tests.unit.wire.damage import assert_only_the_original_reads
from tests.unit.wire.forms import documents
from tests.unit.wire.parties import KEY, OTHER_KEY, OTHER_SECRET, REF, SECRET

NAME = QueryName(bytes([1]) * 16, 5)
OTHERS = {"session": NAME._replace(session=bytes([2]) * 16), "number": NAME._replace(number=6)}
SIZE = 400
NONCE, OTHER_NONCE = bytes([3]) * 32, bytes([4]) * 32
GRANT = Grant(bytes([1]) * 16, bytes([5]) * 16, 50, 950, 17, bytes([6]) * 32)
BODY = AnswerBody(
    Status.OK, (2,), (), 1, 7, bytes([7]) * 32, 949, "local", simulated=True, reason=""
)
QUERY = seal_query(KEY, NAME, b"a row", SIZE)
ANSWER = seal_answer(SECRET, NAME, NONCE, BODY, SIZE)
SESSIONS = seal_sessions(KEY, 17, 0, GRANT)
QUERY_HEADER, ANSWER_HEADER = 28, 60


def heard(data: bytes, key: bytes = KEY) -> QuerySession | Grant:
    return open_sessions(key, SessionsRecord.unpack(data))


def asked(data: bytes, key: bytes = KEY, name: QueryName = NAME) -> bytes:
    return open_query(key, name, data)


def answered(data: bytes, secret: bytes = SECRET, name: QueryName = NAME) -> AnswerBody:
    return open_answer(secret, name, data)


# ---- sessions and grants


@given(st.one_of(documents(QuerySession), documents(Grant)))
def test_sessions_record_comes_back(body: QuerySession | Grant) -> None:
    assert heard(seal_sessions(KEY, 17, 0, body)) == body


def test_sessions_record_is_refused_with_any_byte_altered() -> None:
    assert_only_the_original_reads(heard, SESSIONS)


def test_sessions_record_under_another_key_is_refused() -> None:
    with pytest.raises(TamperDetected):
        heard(SESSIONS, OTHER_KEY)


@pytest.mark.parametrize("parts", [{"index": 18}, {"place": 1}], ids=str)
def test_grant_moved_to_another_entry_is_refused(
    parts: dict[str, Any], without_context: Unguard
) -> None:
    with pytest.raises(TamperDetected):
        heard(replace(SessionsRecord.unpack(SESSIONS), **parts).pack())
    without_context(serving)
    bare = SessionsRecord.unpack(seal_sessions(KEY, 17, 0, GRANT))
    assert heard(replace(bare, **parts).pack()) == GRANT


def test_sessions_record_of_something_else_is_refused() -> None:
    context = encode({0: SessionsRecord.KIND, 1: 17, 2: 0})
    with pytest.raises(EncodingRefused):
        heard(SessionsRecord(17, 0, seal(KEY, context, REF.pack())).pack())


# ---- queries


@given(st.binary(max_size=SIZE - 4), st.integers(0, 2**64 - 1))
def test_query_comes_back(content: bytes, number: int) -> None:
    name = NAME._replace(number=number)
    assert asked(seal_query(KEY, name, content, SIZE), name=name) == content


def test_query_resent_is_the_same_bytes() -> None:
    assert seal_query(KEY, NAME, b"a row", SIZE) == QUERY


def test_query_header_names_session_and_number() -> None:
    assert QUERY[:QUERY_HEADER] == b"CSq1" + bytes([1]) * 16 + bytes(7) + b"\x05"
    assert query_name(QUERY) == NAME


@pytest.mark.parametrize("length", range(0, SIZE - 3, 33))
def test_queries_are_all_of_one_size(length: int) -> None:
    assert len(seal_query(KEY, NAME, bytes(length), SIZE)) == QUERY_HEADER + SIZE + TAG


def test_query_larger_than_the_policy_says_is_not_sealed() -> None:
    seal_query(KEY, NAME, bytes(SIZE - 4), SIZE)
    with pytest.raises(PolicyRefused) as caught:
        seal_query(KEY, NAME, bytes(SIZE - 3), SIZE)
    assert caught.value.code == "RECORD_TOO_LARGE"


def test_query_is_refused_with_any_byte_altered() -> None:
    assert_only_the_original_reads(asked, QUERY)


def test_query_under_another_key_is_refused() -> None:
    with pytest.raises(TamperDetected):
        asked(QUERY, OTHER_KEY)


@pytest.mark.parametrize("what", OTHERS)
def test_query_is_not_taken_for_another(what: str) -> None:
    with pytest.raises(TamperDetected) as caught:
        asked(QUERY, name=OTHERS[what])
    assert caught.value.code == "FRAMING"


@pytest.mark.parametrize("what", OTHERS)
def test_query_moved_to_another_name_is_refused(what: str) -> None:
    other = OTHERS[what]
    moved = seal_query(KEY, other, b"", SIZE)[:QUERY_HEADER] + QUERY[QUERY_HEADER:]
    with pytest.raises(TamperDetected):
        asked(moved, name=other)


def test_header_is_what_keeps_a_query_in_its_session(without_associated_data: Unguard) -> None:
    without_associated_data(serving)
    other = OTHERS["session"]
    bare = seal_query(KEY, NAME, b"a row", SIZE)
    moved = seal_query(KEY, other, b"", SIZE)[:QUERY_HEADER] + bare[QUERY_HEADER:]
    assert asked(moved, name=other) == b"a row"


@pytest.mark.parametrize("record", [b"", b"CSq1", QUERY[: QUERY_HEADER - 1], ANSWER, bytes(99)])
def test_what_is_no_query_has_no_name_and_does_not_open(record: bytes) -> None:
    assert query_name(record) is None
    with pytest.raises(TamperDetected):
        asked(record)


@pytest.mark.parametrize(
    "padded",
    [b"", b"\0", b"\0\0\0\x09abc", b"\xff\xff\xff\xff", b"\0\0\0\x01ab"],
    ids=["nothing", "no length", "too long", "far too long", "content behind its end"],
)
def test_query_with_wrong_padding_is_refused(padded: bytes) -> None:
    header = QUERY[:QUERY_HEADER]
    forged = header + gcm_seal(KEY, NAME.number, padded, header)
    with pytest.raises(TamperDetected) as caught:
        asked(forged)
    assert caught.value.code == "PADDING"


# ---- answers


@given(documents(AnswerBody), st.binary(min_size=32, max_size=32))
def test_answer_comes_back(body: AnswerBody, nonce: bytes) -> None:
    assert answered(seal_answer(SECRET, NAME, nonce, body, SIZE)) == body


def test_answer_follows_the_formulas_of_the_page() -> None:
    header = b"CSa1" + NAME.session + NAME.number.to_bytes(8, "big") + NONCE
    one = derive(SECRET, labels.SESSION_ANSWER, NAME.number)
    prk = extract(NAME.session + NAME.number.to_bytes(8, "big") + NONCE, one)
    body = BODY.pack()
    padded = len(body).to_bytes(4, "big") + body + bytes(SIZE - 4 - len(body))
    sealed = gcm_seal(derive(prk, labels.ANSWER_KEY), 0, padded, header + b"\x01")
    assert header + sealed == ANSWER
    assert answer_name(ANSWER) == NAME


@pytest.mark.parametrize(
    "body",
    [
        BODY,
        replace(BODY, classes=tuple(range(20)), values=(0.5,) * 10),
        replace(BODY, status=Status.INVALID, classes=(), reason="x" * 60),
        replace(BODY, status=Status.BUDGET, classes=(), budget_left=0),
    ],
    ids=["label", "scores", "invalid", "budget"],
)
def test_answers_and_errors_are_all_of_one_size(body: AnswerBody) -> None:
    sealed = seal_answer(SECRET, NAME, NONCE, body, SIZE)
    assert len(sealed) == ANSWER_HEADER + SIZE + TAG


def test_answer_larger_than_the_policy_says_is_not_sealed() -> None:
    with pytest.raises(PolicyRefused):
        seal_answer(SECRET, NAME, NONCE, replace(BODY, classes=(1,) * SIZE), SIZE)


def test_answer_is_refused_with_any_byte_altered() -> None:
    assert_only_the_original_reads(answered, ANSWER)


def test_answer_under_the_secret_of_another_session_is_refused() -> None:
    with pytest.raises(TamperDetected):
        answered(ANSWER, OTHER_SECRET)


@pytest.mark.parametrize("what", OTHERS)
def test_answer_is_not_taken_for_the_answer_to_another_query(what: str) -> None:
    with pytest.raises(TamperDetected) as caught:
        answered(ANSWER, name=OTHERS[what])
    assert caught.value.code == "FRAMING"


@pytest.mark.parametrize("what", OTHERS)
def test_answer_moved_to_another_query_is_refused(what: str) -> None:
    other = OTHERS[what]
    moved = seal_answer(SECRET, other, NONCE, BODY, SIZE)[:ANSWER_HEADER] + ANSWER[ANSWER_HEADER:]
    with pytest.raises(TamperDetected):
        answered(moved, name=other)


def test_answer_with_another_response_nonce_is_refused() -> None:
    moved = ANSWER[:28] + OTHER_NONCE + ANSWER[ANSWER_HEADER:]
    with pytest.raises(TamperDetected):
        answered(moved)


def test_response_nonce_gives_each_answer_a_key_of_its_own() -> None:
    other = seal_answer(SECRET, NAME, OTHER_NONCE, BODY, SIZE)
    assert other[ANSWER_HEADER:] != ANSWER[ANSWER_HEADER:]
    assert answered(other) == BODY


def test_chunk_that_does_not_say_it_is_the_last_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(serving, "_FINAL", b"\0")
    unfinished = seal_answer(SECRET, NAME, NONCE, BODY, SIZE)
    assert answered(unfinished) == BODY
    monkeypatch.undo()
    with pytest.raises(TamperDetected):
        answered(unfinished)


@pytest.mark.parametrize("record", [b"", b"CSa1", ANSWER[: ANSWER_HEADER - 1], QUERY, bytes(99)])
def test_what_is_no_answer_has_no_name_and_does_not_open(record: bytes) -> None:
    assert answer_name(record) is None
    with pytest.raises(TamperDetected):
        answered(record)
