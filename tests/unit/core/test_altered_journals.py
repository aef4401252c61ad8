"""Whatever a broker does to the journal, a replay gives the same state, a prefix, or a refusal.

Any number of flips, swaps, drops, cuts, duplications and splices, of the journal and of the chunks
that snapshots are in, and any word of the courier where the newest snapshot is. Splices come from
another job and from a fork of this history, which went on otherwise from a place on and is sealed
under the same keys: the worst there is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from copy import deepcopy
from typing import Any, Final
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chiron_stream.errors import TamperDetected
from chiron_stream.job.policy import Policy
from chiron_stream.wire import journal as wire
from chiron_stream.wire.canonical import EncodingRefused
from chiron_stream.wire.journal import Entry, EntryHeader, head_of, open_entry
from enclave_workers.core.coordinator import history
from enclave_workers.core.coordinator.events import Snapshotted, read_event
from enclave_workers.core.coordinator.history import History, write_snapshot
from enclave_workers.core.coordinator.state import At, State
from enclave_workers.core.coordinator.step import step
from tests.unit.core.altering import (
    Alteration,
    Record,
    alterations,
    altered,
    searching,
    without_its_tag,
)
from tests.unit.core.chance import OPEN, SHORT, Chance
from tests.unit.core.shelf import Shelf, replayed
from tests.unit.core.story import K, Story

pytestmark = pytest.mark.timeout(600)

REFUSALS: Final = {
    *("JOURNAL_CHAIN", "JOURNAL_SEAL", "JOURNAL_GENESIS", "JOURNAL_JOB", "ROLLED_BACK"),
    *("NOT_CANONICAL", "DOES_NOT_OPEN", "CHUNK_MISSING", "CHUNK_NAME", "SNAPSHOT"),
}


class AnotherState(AssertionError):
    """A state that the journal's history never had."""


class Life:
    """A history with snapshots, and the state behind each of its entries."""

    def __init__(self, chance: Chance, factor: int) -> None:
        self.story: Story = chance.story
        self.forked_at = len(self.story.journal)
        self.shelf = Shelf()
        self.snapshots: list[int] = []
        for start in range(0, 45, 15):
            chance.live([turn * factor % 2**20 for turn in range(start, start + 15)])
            self._snapshot()
        chance.live([turn * factor % 2**20 for turn in range(45, 50)])
        self.journal = [Record("journal", one) for one in self.story.journal]
        self.chunks = [
            Record("chunks", one) for one in self.shelf.topics["coordinator-chunks"].values()
        ]
        self.states = list(self._states())

    def _snapshot(self) -> None:
        story, sealer = self.story, self.story.sealer
        at = History(story.context, story.state, sealer.index, sealer.head, genesis=None)
        self.snapshots.append(sealer.index)
        story.tell(Snapshotted(write_snapshot(self.shelf, at)))

    def _states(self) -> Any:
        """Yield the packed state behind the Genesis, and behind each entry."""
        state = State()
        yield state.pack()
        records = self.story.journal
        for index in range(1, len(records)):
            head = head_of(records[index - 1])
            _, data = open_entry(K, records[index], index=index, head=head)
            at = At(index, head_of(records[index]))
            state, _ = step(self.story.context, state, read_event(data), at)
            yield state.pack()


def begun(policy: Policy) -> Chance:
    chance = Chance(policy)
    chance.settle()
    return chance


BEGUN = begun(SHORT)
LIFE, FORK = Life(deepcopy(BEGUN), 7919), Life(deepcopy(BEGUN), 6101)
FOREIGN = [*FORK.journal, *Life(begun(OPEN), 7919).journal]


def look(changes: Sequence[Alteration], chunks: Sequence[Alteration], hint: int) -> str:
    """Replay an altered journal; return "same", "prefix", or the code of the refusal."""
    shelf = Shelf([one.value for one in altered(LIFE.journal, changes, FOREIGN)])
    shelf.topics["authority"] = {0: b"activation"}
    kept = altered(LIFE.chunks, chunks, FORK.chunks)
    shelf.topics["coordinator-chunks"] = {n: one.value for n, one in enumerate(kept)}
    shelf.hint = hint
    try:
        found = replayed(shelf, SHORT)
    except (TamperDetected, EncodingRefused) as error:
        return error.code
    check(found)
    return "same" if found.index == len(LIFE.journal) else "prefix"


def check(found: History) -> None:
    """Demand a state that the history had, at the entry that it had it behind."""
    last = found.index - 1
    if last >= len(LIFE.journal) or found.head != head_of(LIFE.journal[last].value):
        raise AnotherState(f"there is no such entry {last}")
    if found.state.pack() != LIFE.states[last]:
        raise AnotherState(f"the state behind entry {last} was another")


def anything(changes: list[Alteration], chunks: list[Alteration], hint: int) -> None:
    assert look(changes, chunks, hint) in {"same", "prefix", *REFUSALS}


def unguarded(changes: list[Alteration], chunks: list[Alteration], hint: int) -> None:
    """Look what comes of it; events that ``step`` cannot take are no finding."""
    with suppress(LookupError):
        look(changes, chunks, hint)


hints = st.sampled_from([-1, *LIFE.snapshots]) | st.integers(-1, len(LIFE.journal) + 5)


def whatever_happens(*kinds: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return what gives a test alterations of some kinds, or of every kind."""
    return given(changes=alterations(*kinds, most=4), chunks=alterations(most=1), hint=hints)


test_altered_journal_gives_the_same_state_a_prefix_or_a_named_refusal = settings(max_examples=250)(
    whatever_happens()(anything)
)


@pytest.mark.parametrize("hint", [-1, *LIFE.snapshots])
def test_unaltered_journal_gives_the_same_state(hint: int) -> None:
    assert look([], [], hint) == "same"


KINDS = ("flip", "swap", "drop", "double", "splice", "replace", "parallel", "cut")


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_alteration_is_refused_or_cuts(kind: str) -> None:
    start = LIFE.forked_at  # before it, what stands in parallel is the same
    changes = [Alteration(kind, at, at + 7, at, 1) for at in range(start, start + 30)]
    found = {look([one], [], -1) for one in changes}
    assert found <= ({"prefix"} if kind == "cut" else {"JOURNAL_CHAIN", "JOURNAL_SEAL"})


def test_snapshot_of_another_history_of_the_job_gives_states_of_that_one_alone() -> None:
    """Whoever kept it from before a roll-back may as well show all of it: freshness is local."""
    at = FORK.snapshots[0]
    shelf = Shelf([*(one.value for one in LIFE.journal), FORK.journal[at].value])
    shelf.topics["coordinator-chunks"] = {n: one.value for n, one in enumerate(FORK.chunks)}
    shelf.hint = len(LIFE.journal)
    found = replayed(shelf, SHORT)
    assert (found.index, found.state.pack()) == (at + 1, FORK.states[at])


def without_its_predecessor(
    key: bytes, record: bytes, *, index: int, head: bytes
) -> tuple[EntryHeader, bytes]:
    header = EntryHeader.unpack(Entry.unpack(record).header)
    return open_entry(key, record, index=index, head=header.previous)


def without_its_index(
    key: bytes, record: bytes, *, index: int, head: bytes
) -> tuple[EntryHeader, bytes]:
    header = EntryHeader.unpack(Entry.unpack(record).header)
    return open_entry(key, record, index=header.index, head=header.previous)


NO_PREDECESSOR = (history, "open_entry", without_its_predecessor)
GUARDS: Mapping[str, tuple[tuple[str, ...], list[tuple[Any, str, object]]]] = {
    "hash of the record before": (("parallel",), [NO_PREDECESSOR]),
    "index": (("drop", "swap", "double"), [(history, "open_entry", without_its_index)]),
    "tag, which the next record's hash makes up for": (
        ("flip",),
        [(wire, "gcm_open", without_its_tag), NO_PREDECESSOR],
    ),
}
"""By guard: alterations that show that it is off, and what turns it off."""


@pytest.mark.parametrize("guard", GUARDS)
def test_search_finds_another_state_without(guard: str) -> None:
    kinds, turned_off = GUARDS[guard]
    search = searching(2000, whatever_happens(*kinds)(unguarded))
    with ExitStack() as stack:
        for where, name, lax in turned_off:
            stack.enter_context(patch.object(where, name, lax))
        with pytest.raises(AnotherState):
            search()
