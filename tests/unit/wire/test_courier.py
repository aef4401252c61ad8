"""Frames between core and courier: lengths within bounds, and each side's own documents."""

from __future__ import annotations

import typing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chiron_stream.errors import TamperDetected
from chiron_stream.wire import courier
from chiron_stream.wire.canonical import EncodingRefused
from chiron_stream.wire.courier import (
    FRAME_LIMIT,
    Answer,
    Begin,
    Lines,
    Request,
    Taken,
    frame,
    frame_length,
    read_answer,
    read_request,
)
from tests.unit.wire.forms import documents

REQUESTS = typing.get_args(Request)
ANSWERS = typing.get_args(Answer)


@settings(max_examples=100)
@given(st.one_of([documents(one) for one in REQUESTS]))
def test_request_comes_back_from_its_frame(request: Request) -> None:
    framed = frame(request)
    assert frame_length(framed[:4]) == len(framed) - 4
    assert read_request(framed[4:]) == request


@settings(max_examples=100)
@given(st.one_of([documents(one) for one in ANSWERS]))
def test_answer_comes_back_from_its_frame(answer: Answer) -> None:
    assert read_answer(frame(answer)[4:]) == answer


def test_no_request_passes_for_an_answer_or_the_other_way_round() -> None:
    assert set(REQUESTS).isdisjoint(ANSWERS)
    with pytest.raises(EncodingRefused):
        read_answer(Begin().pack())
    with pytest.raises(EncodingRefused):
        read_request(Taken().pack())


@pytest.mark.parametrize(
    "prefix",
    [
        b"",
        b"\0",
        b"\0\0\x01",
        b"\0\0\0\0",
        b"\0\0\0\0\x01",
        (FRAME_LIMIT + 1).to_bytes(4, "big"),
        b"\xff\xff\xff\xff",
    ],
    ids=["none", "one byte", "three bytes", "zero", "five bytes", "above the limit", "largest"],
)
def test_length_out_of_bounds_is_refused(prefix: bytes) -> None:
    with pytest.raises(TamperDetected) as caught:
        frame_length(prefix)
    assert caught.value.code == "FRAME"


@pytest.mark.parametrize("length", [1, FRAME_LIMIT])
def test_length_within_bounds_is_read(length: int) -> None:
    assert frame_length(length.to_bytes(4, "big")) == length


def test_document_larger_than_a_frame_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    size = len(Lines((), 1, 1).pack())
    monkeypatch.setattr(courier, "FRAME_LIMIT", size)
    assert len(frame(Lines((), 1, 1))) == size + 4
    with pytest.raises(TamperDetected) as caught:
        frame(Lines((), 1_000, 1))
    assert caught.value.code == "FRAME"
