"""The journal: one order, from Genesis on; a cut tail is a prefix, anything else is found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chiron_stream.errors import ChironError, TamperDetected
from chiron_stream.wire import journal
from chiron_stream.wire.canonical import EncodingRefused
from chiron_stream.wire.journal import (
    EVENT_LIMIT,
    Entry,
    EntryHeader,
    Genesis,
    Sealer,
    head_of,
    open_entry,
)
from tests.unit.wire.conftest import Unguard
from tests.unit.wire.damage import assert_only_the_original_reads, rearranged
from tests.unit.wire.parties import KEY, OTHER_KEY

GENESIS = Genesis(b"policy", b"sealed key").pack()
FIRST, SECOND = bytes([1]) * 32, bytes([2]) * 32
EVENTS = [b"one", b"two", b"three", b"four"]


def history(key: bytes = KEY, events: Sequence[bytes] = tuple(EVENTS)) -> list[bytes]:
    """Return the entries of a job whose coordinator was restarted in the middle."""
    half = len(events) // 2
    sealer = Sealer(key, 1, FIRST, 1, head_of(GENESIS))
    entries = [sealer.seal(event) for event in events[:half]]
    sealer = Sealer(key, 2, SECOND, sealer.index, sealer.head)
    return entries + [sealer.seal(event) for event in events[half:]]


def replayed(entries: Sequence[bytes], key: bytes = KEY) -> list[bytes]:
    events = []
    head = head_of(GENESIS)
    for index, record in enumerate(entries, 1):
        _, event = open_entry(key, record, index=index, head=head)
        events.append(event)
        head = head_of(record)
    return events


ENTRIES = history()


def assert_code(code: str, entries: Sequence[bytes]) -> str:
    with pytest.raises(TamperDetected) as caught:
        replayed(entries)
    assert caught.value.code == code
    return str(caught.value)


def test_replay_gives_every_event_in_order() -> None:
    assert replayed(ENTRIES) == EVENTS


@given(st.lists(st.binary(max_size=20), max_size=6))
def test_any_events_come_back(events: list[bytes]) -> None:
    assert replayed(history(events=events)) == events


def test_header_tells_epoch_and_incarnation() -> None:
    header, _ = open_entry(KEY, ENTRIES[0], index=1, head=head_of(GENESIS))
    assert header == EntryHeader(1, FIRST, 1, head_of(GENESIS))


@pytest.mark.parametrize("place", range(4))
def test_entry_with_any_byte_altered_is_refused(place: int) -> None:
    def read(data: bytes) -> list[bytes]:
        return replayed([*ENTRIES[:place], data])

    assert_only_the_original_reads(read, ENTRIES[place])


@pytest.mark.parametrize(("what", "entries"), list(rearranged(ENTRIES)))
def test_replay_refuses_journal_with(what: str, entries: list[bytes]) -> None:
    if entries == ENTRIES[:-1]:
        assert replayed(entries) == EVENTS[:-1]
    else:
        with pytest.raises(ChironError):
            replayed(entries)


@pytest.mark.parametrize("length", range(5))
def test_cut_tail_is_a_prefix_of_the_history(length: int) -> None:
    assert replayed(ENTRIES[:length]) == EVENTS[:length]


def test_refusal_says_at_which_index() -> None:
    assert "index 3" in assert_code("JOURNAL_CHAIN", [*ENTRIES[:2], ENTRIES[3]])


def test_entry_of_a_forked_history_is_refused() -> None:
    fork = history(events=[b"other", *EVENTS[1:]])
    assert replayed(fork)
    assert_code("JOURNAL_CHAIN", [*ENTRIES[:1], *fork[1:]])
    assert_code("JOURNAL_CHAIN", [*fork[:3], *ENTRIES[3:]])


def test_journal_behind_another_genesis_is_refused() -> None:
    other = Genesis(b"another policy", b"sealed key").pack()
    with pytest.raises(TamperDetected) as caught:
        open_entry(KEY, ENTRIES[0], index=1, head=head_of(other))
    assert caught.value.code == "JOURNAL_CHAIN"


def test_journal_of_another_job_key_is_refused() -> None:
    assert_code("JOURNAL_SEAL", history(key=OTHER_KEY))


def _renamed(record: bytes, header: EntryHeader) -> bytes:
    return replace(Entry.unpack(record), header=header.pack()).pack()


def test_spliced_entry_is_refused_though_its_header_was_made_to_fit(
    without_associated_data: Unguard,
) -> None:
    fork = history(events=[b"other", *EVENTS[1:]])
    fitting = EntryHeader(1, FIRST, 2, head_of(ENTRIES[0]))
    assert_code("JOURNAL_SEAL", [ENTRIES[0], _renamed(fork[1], fitting)])
    without_associated_data(journal)
    mine, fork = history(), history(events=[b"other", *EVENTS[1:]])
    fitting = EntryHeader(1, FIRST, 2, head_of(mine[0]))
    assert replayed([mine[0], _renamed(fork[1], fitting)]) == EVENTS[:2]


@pytest.mark.parametrize(("epoch", "incarnation"), [(2, FIRST), (1, SECOND)])
def test_entry_of_another_epoch_or_incarnation_is_refused(epoch: int, incarnation: bytes) -> None:
    header = EntryHeader(epoch, incarnation, 1, head_of(GENESIS))
    assert_code("JOURNAL_SEAL", [_renamed(ENTRIES[0], header)])


def test_two_incarnations_share_no_key() -> None:
    first, second = (Sealer(KEY, 1, one, 1, head_of(GENESIS)).seal(b"x") for one in (FIRST, SECOND))
    assert Entry.unpack(first).sealed != Entry.unpack(second).sealed


def test_genesis_in_place_of_an_entry_is_refused() -> None:
    with pytest.raises(EncodingRefused):
        replayed([GENESIS])


def test_event_of_256_kib_is_journalled_and_a_larger_one_is_not() -> None:
    sealer = Sealer(KEY, 1, FIRST, 1, head_of(GENESIS))
    assert replayed([sealer.seal(bytes(EVENT_LIMIT))]) == [bytes(EVENT_LIMIT)]
    with pytest.raises(TamperDetected) as caught:
        sealer.seal(bytes(EVENT_LIMIT + 1))
    assert caught.value.code == "EVENT_SIZE"
    assert sealer.index == 2
