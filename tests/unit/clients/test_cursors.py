"""Cursors: printable, the same ever after, and good for one client's answers only."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chiron_stream.clients.cursors import cursor_at, offset_of
from chiron_stream.errors import UsageRefused

STATE = b"eight by"


@given(st.integers(0, 2**63 - 1))
def test_cursor_is_printable_and_leads_back(offset: int) -> None:
    cursor = cursor_at(STATE, offset)
    assert re.fullmatch(r"[A-Za-z0-9_-]{27}", cursor)
    assert offset_of(cursor, STATE) == offset


def test_cursor_does_not_change_from_version_to_version() -> None:
    assert cursor_at(STATE, 258) == "Q1NjMWVpZ2h0IGJ5AAAAAAAAAQI"


def test_cursor_of_other_answers_is_refused() -> None:
    with pytest.raises(UsageRefused, match="another client's answers") as refused:
        offset_of(cursor_at(b"of other", 1), STATE)
    assert refused.value.code == "CURSOR"


GOOD = cursor_at(STATE, 1)


@pytest.mark.parametrize(
    "text",
    ["", "7", GOOD[:-1], GOOD + "A", GOOD[:5], "é" * 27, "Q" * 27, GOOD[:-1] + "!", " " + GOOD],
)
def test_text_that_is_no_cursor_is_refused_and_not_shown(text: str) -> None:
    with pytest.raises(UsageRefused, match="this is no cursor") as refused:
        offset_of(text, STATE)
    assert refused.value.got is None
