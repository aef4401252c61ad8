"""Frames between core and courier: lengths within bounds, and each side's own documents."""

from __future__ import annotations

import typing
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chiron_stream.errors import ChironError, TamperDetected
from chiron_stream.wire import frames
from chiron_stream.wire.canonical import EncodingRefused
from chiron_stream.wire.courier import (
    VALUE_BYTES,
    Answer,
    Append,
    Begin,
    Commit,
    Line,
    Lines,
    Request,
    Send,
    Taken,
)
from chiron_stream.wire.frames import FRAME_LIMIT, pack
from tests.unit.wire.forms import documents

REQUESTS = typing.get_args(Request)
ANSWERS = typing.get_args(Answer)

VALUES = (b"", b"one", bytes(100_000), b"two" * 50, bytes(65_536), b"")
LINES = tuple(Line("shards", 1, n, value) for n, value in enumerate(VALUES))
SENDS = tuple(Send("shards", 1, value, b"key", b"mark") for value in VALUES)


def body(document: Request | Answer) -> bytes:
    """The frame of a document, behind its length."""
    framed = b"".join(pack(document))
    assert frames.length(framed[:4]) == len(framed) - 4
    return framed[4:]


@settings(max_examples=100)
@given(st.one_of([documents(one) for one in REQUESTS]))
def test_request_comes_back_from_its_frame(request: Request) -> None:
    assert frames.request(body(request)) == request


@settings(max_examples=100)
@given(st.one_of([documents(one) for one in ANSWERS]))
def test_answer_comes_back_from_its_frame(answer: Answer) -> None:
    assert frames.answer(body(answer)) == answer


def test_values_of_every_size_come_back_in_order() -> None:
    lines = Lines(LINES, 5, 6)
    assert frames.answer(body(lines)) == lines
    assert frames.answer(bytearray(body(lines))) == lines
    for request in (Append(SENDS), Commit(SENDS)):
        assert frames.request(body(request)) == request


def test_large_values_are_handed_on_as_they_are_and_small_ones_together() -> None:
    parts = pack(Lines(LINES, 5, 6))
    assert [len(one) for one in parts if len(one) > 1000] == [100_000, 65_536]
    assert any(one is VALUES[2] for one in parts)
    assert len(parts) == 5


def test_no_request_passes_for_an_answer_or_the_other_way_round() -> None:
    assert set(REQUESTS).isdisjoint(ANSWERS)
    with pytest.raises(EncodingRefused):
        frames.answer(body(Begin()))
    with pytest.raises(EncodingRefused):
        frames.request(body(Taken()))


FRAME = body(Lines(LINES[:3], 5, 6))
DOCUMENT = int.from_bytes(FRAME[:4], "big")
AT = 4 + DOCUMENT
"""Where the first value's length stands."""


def be4(number: int) -> bytes:
    return number.to_bytes(4, "big")


@pytest.mark.parametrize(
    "damaged",
    [
        FRAME[:-1],
        FRAME + b"\0",
        FRAME[:AT],
        FRAME[: AT + 3],
        FRAME[:AT] + be4(1) + FRAME[AT + 4 :],
        FRAME[: AT + 4] + be4(2**32 - 1) + FRAME[AT + 8 :],
        FRAME[: AT + 4] + be4(VALUE_BYTES + 1) + bytes(VALUE_BYTES + 1) + be4(0),
        FRAME[: AT + 4] + be4(3) + b"one",
        be4(len(FRAME)) + FRAME[4:],
        be4(2**32 - 1) + FRAME[4:],
        be4(DOCUMENT + 1) + FRAME[4:],
        be4(DOCUMENT - 1) + FRAME[4:],
        be4(0) + FRAME[4:],
        FRAME[:3],
        b"",
    ],
)
def test_frame_that_is_cut_or_goes_on_is_refused(damaged: bytes) -> None:
    with pytest.raises(ChironError) as caught:
        frames.answer(damaged)
    assert caught.value.code in ("FRAME", "NOT_CANONICAL")
    assert frames.answer(FRAME) == Lines(LINES[:3], 5, 6)


def test_value_inside_a_document_is_refused() -> None:
    document = Lines(LINES[:2], 5, 6).pack()
    with pytest.raises(TamperDetected) as caught:
        frames.answer(be4(len(document)) + document + be4(0) + be4(0))
    assert caught.value.code == "FRAME"


@pytest.mark.parametrize("make", [Append, Commit])
def test_value_that_is_too_large_is_not_sent(make: Callable[[tuple[Send, ...]], Request]) -> None:
    most = replace(SENDS[0], value=bytes(VALUE_BYTES))
    assert frames.request(body(make((most,)))) == make((most,))
    with pytest.raises(TamperDetected) as caught:
        pack(make((replace(most, value=bytes(VALUE_BYTES + 1)),)))
    assert caught.value.code == "FRAME"


@pytest.mark.parametrize(
    "prefix",
    [
        b"",
        b"\0",
        b"\0\0\x01",
        b"\0\0\0\0",
        b"\0\0\0\x04",
        b"\0\0\0\0\x01",
        (FRAME_LIMIT + 1).to_bytes(4, "big"),
        b"\xff\xff\xff\xff",
    ],
    ids=[
        "none",
        "one byte",
        "three bytes",
        "zero",
        "four",
        "five bytes",
        "above the limit",
        "largest",
    ],
)
def test_length_out_of_bounds_is_refused(prefix: bytes) -> None:
    with pytest.raises(TamperDetected) as caught:
        frames.length(prefix)
    assert caught.value.code == "FRAME"


@pytest.mark.parametrize("length", [5, FRAME_LIMIT])
def test_length_within_bounds_is_read(length: int) -> None:
    assert frames.length(length.to_bytes(4, "big")) == length


def test_document_larger_than_a_frame_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = Lines(LINES[:3], 1, 1)
    monkeypatch.setattr(frames, "FRAME_LIMIT", len(body(lines)))
    assert frames.answer(body(lines)) == lines
    with pytest.raises(TamperDetected) as caught:
        pack(replace(lines, now=1_000))
    assert caught.value.code == "FRAME"
