"""Control records: one session's, in order, none dropped, swapped, doubled or spliced in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chiron_stream.errors import ChironError, TamperDetected
from chiron_stream.wire import control
from chiron_stream.wire.canonical import EncodingRefused
from chiron_stream.wire.control import (
    Announcement,
    Body,
    ControlHeader,
    ControlRecord,
    Fin,
    RecipeManifest,
    Use,
    chain_next,
    chain_start,
    open_control,
    read_header,
    seal_control,
)
from chiron_stream.wire.crypto import gcm_seal
from chiron_stream.wire.session import Intent
from tests.unit.wire.conftest import Unguard
from tests.unit.wire.damage import assert_only_the_original_reads, rearranged
from tests.unit.wire.forms import documents
from tests.unit.wire.parties import KEY, OTHER_KEY, REF

SESSION, OTHER_SESSION = bytes([1]) * 16, bytes([2]) * 16
START = chain_start(b"a session open")
ANNOUNCEMENT = Announcement(0, 100, Use.TRAIN, 4, bytes([3]) * 32, 1, 12, b"token")
BODIES: list[Body] = [ANNOUNCEMENT, replace(ANNOUNCEMENT, number=1), Fin(2)]


def sealed_all(
    bodies: Sequence[Body], key: bytes = KEY, session: bytes = SESSION, start: bytes = START
) -> list[bytes]:
    records: list[bytes] = []
    link = start
    for counter, body in enumerate(bodies, 1):
        records.append(seal_control(key, session, counter, link, body))
        link = chain_next(link, records[-1])
    return records


def opened_all(
    records: Sequence[bytes], key: bytes = KEY, session: bytes = SESSION, start: bytes = START
) -> list[Body]:
    """Do what a coordinator does with a session's records."""
    bodies: list[Body] = []
    link = start
    for counter, record in enumerate(records, 1):
        read = ControlRecord.unpack(record)
        bodies.append(open_control(key, read, session=session, counter=counter, previous=link))
        link = chain_next(link, record)
    return bodies


RECORDS = sealed_all(BODIES)


def assert_code(code: str, records: Sequence[bytes], **other: bytes) -> None:
    with pytest.raises(TamperDetected) as caught:
        opened_all(records, **other)
    assert caught.value.code == code


def test_records_open_in_order() -> None:
    assert opened_all(RECORDS) == BODIES


@given(
    st.lists(st.one_of([documents(one) for one in (Announcement, Fin, RecipeManifest)]), max_size=3)
)
def test_any_bodies_come_back(bodies: list[Body]) -> None:
    assert opened_all(sealed_all(bodies)) == bodies


def test_resend_is_the_same_bytes() -> None:
    assert sealed_all(BODIES) == RECORDS


def test_header_is_in_clear() -> None:
    record = ControlRecord.unpack(RECORDS[0])
    assert read_header(record) == ControlHeader(SESSION, 1, START)


def test_open_refuses_record_with_any_byte_altered() -> None:
    assert_only_the_original_reads(lambda data: opened_all([data]), RECORDS[0])


@pytest.mark.parametrize(("what", "records"), list(rearranged(RECORDS)))
def test_open_refuses_sequence_with(what: str, records: list[bytes]) -> None:
    if records == RECORDS[:-1]:
        assert opened_all(records) == BODIES[:-1]  # a cut tail is a prefix
    else:
        with pytest.raises(ChironError):
            opened_all(records)


def test_open_refuses_record_whose_counter_skips_one() -> None:
    skipping = seal_control(KEY, SESSION, 2, START, Fin(0))
    assert_code("SEQUENCE", [skipping])


def test_open_refuses_record_that_was_taken() -> None:
    assert_code("SEQUENCE", [RECORDS[0], RECORDS[0]])


def test_open_refuses_record_whose_chain_skips_one() -> None:
    skipping = seal_control(KEY, SESSION, 2, START, Fin(0))
    assert_code("CHAIN", [RECORDS[0], skipping])


def test_open_refuses_record_of_a_chain_that_starts_with_another_open() -> None:
    records = sealed_all(BODIES, start=chain_start(b"another session open"))
    assert_code("CHAIN", records)


def test_open_refuses_record_spliced_from_another_history_of_the_session() -> None:
    others = sealed_all([replace(ANNOUNCEMENT, rows=99), *BODIES[1:]])
    assert_code("CHAIN", [RECORDS[0], others[1]])
    assert opened_all(others)  # whole, the other history is good


def test_open_refuses_record_of_another_session() -> None:
    assert_code("SEQUENCE", sealed_all(BODIES, session=OTHER_SESSION))


def test_open_refuses_record_under_another_key() -> None:
    assert_code("DOES_NOT_OPEN", sealed_all(BODIES, key=OTHER_KEY))


def _renamed(record: bytes, **parts: Any) -> bytes:
    """Return a record with another header around the same sealed body."""
    read = ControlRecord.unpack(record)
    header = replace(read_header(read), **parts)
    return replace(read, header=header.pack()).pack()


def test_open_refuses_record_with_a_header_that_was_not_sealed(
    without_associated_data: Unguard,
) -> None:
    other = chain_start(b"another session open")
    moved = _renamed(RECORDS[0], previous=other)
    assert_code("DOES_NOT_OPEN", [moved], start=other)
    without_associated_data(control)
    moved = _renamed(sealed_all(BODIES[:1])[0], previous=other)
    assert opened_all([moved], start=other) == BODIES[:1]


def test_open_refuses_the_intent_in_place_of_a_record() -> None:
    header = ControlHeader(SESSION, 1, START).pack()
    sealed = gcm_seal(KEY, 0, Intent("icu").pack(), SESSION)
    assert_code("DOES_NOT_OPEN", [ControlRecord(header, sealed).pack()])


def test_open_refuses_body_of_another_kind() -> None:
    header = ControlHeader(SESSION, 1, START).pack()
    sealed = gcm_seal(KEY, 1, REF.pack(), header)
    with pytest.raises(EncodingRefused):
        opened_all([ControlRecord(header, sealed).pack()])


def test_open_refuses_header_that_is_no_document() -> None:
    with pytest.raises(EncodingRefused):
        opened_all([ControlRecord(b"no document", bytes(40)).pack()])


def test_resume_token_has_at_most_256_bytes() -> None:
    replace(ANNOUNCEMENT, token=bytes(256)).pack()
    with pytest.raises(EncodingRefused):
        replace(ANNOUNCEMENT, token=bytes(257)).pack()
