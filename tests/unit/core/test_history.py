"""The journal at a start: what is found, what is refused, and what a snapshot may shorten."""

from __future__ import annotations

from dataclasses import replace

import pytest

from chiron_stream.errors import RolledBack, TamperDetected
from chiron_stream.wire.journal import Genesis, Sealer
from enclave_workers.core.coordinator.events import Acknowledging, Merged, Snapshotted
from enclave_workers.core.coordinator.history import History, write_snapshot
from enclave_workers.core.coordinator.state import At, MergeEffect, State
from enclave_workers.core.coordinator.step import step
from tests.unit.core.shelf import Shelf, job_of, replayed, shelf_of
from tests.unit.core.story import Story, ref, running, with_schedule


def test_job_without_any_history_begins_with_a_new_key() -> None:
    first, second = replayed(Shelf()), replayed(Shelf())
    assert first.genesis is not None
    assert (first.index, first.state.pack()) == (1, State().pack())
    assert first.context.key != second.context.key


def test_history_goes_on_behind_the_last_record() -> None:
    story, _ = running()
    history = replayed(shelf_of(story))
    assert history.genesis is None
    assert (history.index, history.head) == (story.sealer.index, story.sealer.head)
    assert history.context.key == story.context.key


def test_markers_between_records_change_nothing() -> None:
    story, _ = running()
    assert replayed(shelf_of(story, stride=3)).state.pack() == story.state.pack()


def test_emptied_journal_beside_a_filled_authority_is_rolled_back() -> None:
    shelf = shelf_of(running()[0])
    shelf.topics["journal"] = {}
    with pytest.raises(RolledBack):
        replayed(shelf)


def test_emptied_authority_beside_a_filled_journal_is_rolled_back() -> None:
    shelf = shelf_of(running()[0])
    shelf.topics["authority"] = {}
    with pytest.raises(RolledBack):
        replayed(shelf)


def test_journal_of_another_job_is_refused() -> None:
    shelf = shelf_of(Story(with_schedule(passes=9)))
    with pytest.raises(TamperDetected) as refused:
        replayed(shelf)
    assert refused.value.code == "JOURNAL_JOB"


def test_journal_without_its_first_record_is_refused() -> None:
    shelf = shelf_of(running()[0])
    del shelf.topics["journal"][0]
    with pytest.raises(TamperDetected):
        replayed(shelf)


def test_key_that_was_sealed_for_another_job_does_not_open() -> None:
    other = Story(with_schedule(passes=9))
    story = Story()
    foreign = Genesis.unpack(other.journal[0]).sealed_key
    shelf = Shelf([Genesis(job_of().policy_bytes, foreign).pack(), *story.journal[1:]])
    with pytest.raises(TamperDetected, match="index 0"):
        replayed(shelf)


def with_snapshot() -> tuple[Story, Shelf, int]:
    """Return a job with a snapshot in its journal, some events behind it, and its offset."""
    story, trainer = running()
    story.train(trainer)
    for _ in range(5):
        story.join()
    shelf = Shelf()
    history = History(
        story.context, story.state, story.sealer.index, story.sealer.head, genesis=None
    )
    written = write_snapshot(shelf, history)
    offset = story.sealer.index
    story.tell(Snapshotted(written))
    story.tell(Acknowledging())
    shelf.topics["journal"] = dict(enumerate(story.journal))
    shelf.topics["authority"] = {0: b"activation"}
    return story, shelf, offset


def test_snapshot_and_the_rest_give_the_state_of_a_full_replay() -> None:
    story, shelf, offset = with_snapshot()
    full = replayed(shelf)
    shelf.hint, shelf.reads = offset, []
    short = replayed(shelf)
    assert short.state.pack() == full.state.pack() == story.state.pack()
    assert (short.index, short.head, short.snapshot_index) == (full.index, full.head, offset)
    assert ("journal", 1) not in shelf.reads


def test_successors_behind_snapshot_and_full_replay_lease_alike() -> None:
    _, shelf, offset = with_snapshot()
    full = replayed(shelf)
    shelf.hint = offset
    short = replayed(shelf)
    (merge,) = full.state.open_effects
    assert isinstance(merge, MergeEffect)
    merged, at = (
        Merged(merge.round, ref("coordinator-chunks"), bytes(32)),
        At(full.index, bytes(32)),
    )
    one, _ = step(full.context, full.state, merged, at)
    other, _ = step(short.context, short.state, merged, at)
    assert one.pack() == other.pack()


@pytest.mark.parametrize("offset", [1, 2, 5])
def test_hint_to_another_entry_means_a_full_replay(offset: int) -> None:
    story, shelf, _ = with_snapshot()
    shelf.hint = offset
    assert replayed(shelf).state.pack() == story.state.pack()
    assert ("journal", 1) in shelf.reads


@pytest.mark.parametrize("offset", [-1, 10**6])
def test_hint_to_nothing_means_a_full_replay(offset: int) -> None:
    story, shelf, _ = with_snapshot()
    shelf.hint = offset
    assert replayed(shelf).state.pack() == story.state.pack()


def test_snapshot_of_another_entry_is_refused() -> None:
    story, shelf, offset = with_snapshot()
    history = replayed(Shelf(story.journal[:offset]))
    written = write_snapshot(shelf, replace(history, head=bytes(32)))
    sealer = Sealer(story.context.key, 1, bytes(32), history.index, history.head)
    shelf.topics["journal"][offset] = sealer.seal(Snapshotted(written).pack())
    shelf.hint = offset
    with pytest.raises(TamperDetected) as refused:
        replayed(shelf)
    assert refused.value.code == "SNAPSHOT"


def test_withheld_snapshot_is_refused_and_not_replaced_by_nothing() -> None:
    _, shelf, offset = with_snapshot()
    shelf.topics["coordinator-chunks"] = {}
    shelf.hint = offset
    with pytest.raises(TamperDetected) as refused:
        replayed(shelf)
    assert refused.value.code == "CHUNK_MISSING"


def test_record_of_another_epoch_goes_on_in_one_chain() -> None:
    story, _ = running()
    story.sealer = Sealer(
        story.context.key, 2, bytes([46]) * 32, story.sealer.index, story.sealer.head
    )
    story.tell(Acknowledging())
    assert replayed(shelf_of(story)).index == story.sealer.index
