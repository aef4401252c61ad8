"""``step`` as a function: whatever happens and wherever a coordinator dies, one state comes out."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chiron_stream.errors import TamperDetected
from chiron_stream.job.policy import Policy
from chiron_stream.wire.control import Use
from chiron_stream.wire.journal import head_of, open_entry
from chiron_stream.wire.session import Purpose
from enclave_workers.core.coordinator.events import Event, read_event
from enclave_workers.core.coordinator.state import At, ShardStatus, State
from enclave_workers.core.coordinator.step import step
from tests.unit.core.chance import OPEN, SHORT, Chance
from tests.unit.core.shelf import Shelf, replayed
from tests.unit.core.story import MANIFEST, K, Story, running
from tests.unit.job.builders import JOHN, LAB, MARY, WARD

lives = st.lists(st.integers(0, 2**20), max_size=60)


policies = st.sampled_from([SHORT, OPEN])


def life(decisions: list[int], policy: Policy = SHORT, *, settled: bool = True) -> Story:
    chance = Chance(policy)
    if settled:
        chance.settle()
    chance.live(decisions)
    return chance.story


def go_on(story: Story, state: State, start: int) -> State:
    """Return the state after the journal's events from index ``start`` on."""
    for index in range(start, len(story.journal)):
        event, head = entry(story, index)
        state, _ = step(story.context, state, event, At(index, head))
    return state


def entry(story: Story, index: int) -> tuple[Event, bytes]:
    record = story.journal[index]
    before = head_of(story.journal[index - 1])
    _, data = open_entry(K, record, index=index, head=before)
    return read_event(data), head_of(record)


@given(decisions=lives, policy=policies, settled=st.booleans())
@settings(max_examples=200)
def test_any_order_of_events_leaves_a_state_that_packs(
    decisions: list[int], policy: Policy, settled: bool
) -> None:
    story = life(decisions, policy, settled=settled)
    assert State.unpack(story.state.pack()).pack() == story.state.pack()


@given(decisions=lives, policy=policies, settled=st.booleans())
@settings(max_examples=200)
def test_replay_gives_the_same_bytes(decisions: list[int], policy: Policy, settled: bool) -> None:
    story = life(decisions, policy, settled=settled)
    assert replayed(Shelf(story.journal), policy).state.pack() == story.state.pack()


@given(decisions=lives, policy=policies, crashes=st.lists(st.integers(0, 1000), max_size=4))
@settings(max_examples=200)
def test_crash_anywhere_changes_nothing(
    decisions: list[int], policy: Policy, crashes: list[int]
) -> None:
    whole = life(decisions, policy)
    state = State()
    places = sorted({1 + crash % len(whole.journal) for crash in crashes})
    for start, end in zip([1, *places], [*places, len(whole.journal)], strict=True):
        for index in range(start, end):
            event, head = entry(whole, index)
            state, _ = step(whole.context, state, event, At(index, head))
        state = State.unpack(state.pack())
    assert state.pack() == whole.state.pack()


@given(decisions=lives, policy=policies)
@settings(max_examples=200)
def test_no_shard_is_used_more_often_than_planned_whatever_happens(
    decisions: list[int], policy: Policy
) -> None:
    state = life(decisions, policy).state
    shards = [one for data_set in state.data_sets for one in data_set.shards.values()]
    assert all(one.uses <= policy.schedule.passes for one in shards)
    if state.finished:
        assert {one.uses for one in shards if one.status is ShardStatus.TRAINED} <= {1, 2}
    found = Counter(one.status for one in shards)
    done = state.accepted - found.total()
    assert (
        done
        == state.count(ShardStatus.TRAINED)
        - found[ShardStatus.TRAINED]
        + state.count(ShardStatus.VOID)
        - found[ShardStatus.VOID]
    ), "what was forgotten was done with"


@given(decisions=lives, policy=policies, place=st.integers(0, 1000))
@settings(max_examples=200)
def test_step_is_a_function_of_the_state_s_bytes(
    decisions: list[int], policy: Policy, place: int
) -> None:
    story = life(decisions, policy)
    index = 1 + place % (len(story.journal) - 1)
    before = State()
    for earlier in range(1, index):
        event, head = entry(story, earlier)
        before, _ = step(story.context, before, event, At(earlier, head))
    event, head = entry(story, index)
    copy = State.unpack(before.pack())
    one, effects = step(story.context, before, event, At(index, head))
    other, others = step(story.context, copy, event, At(index, head))
    assert one.pack() == other.pack()
    assert sorted(map(repr, effects)) == sorted(map(repr, others))


@given(decisions=lives, policy=policies)
@settings(max_examples=200)
def test_promises_hold_whatever_happens(decisions: list[int], policy: Policy) -> None:
    story = life(decisions, policy)
    disclosure = story.context.policy.disclosure
    assert story.state.ledger.get(WARD.public, 0) <= disclosure.answers_per_client
    terms, told = disclosure, story.state.disclosed
    assert all(told.get(one.public, 0) <= terms.score_ceiling for one in (MARY, JOHN))
    assert told.get(LAB.public, 0) <= terms.progress_ceiling
    assert len(story.state.evaluations) <= story.state.scores
    taken = [shard for slot in story.slots for shard in slot.shards]
    waiting = [shard for slot in story.state.queue for shard in slot]
    assert len(set(taken + waiting)) == len(taken + waiting)
    assert all(story.state.shard(one).use is Use.TRAIN for one in (*taken, *waiting))
    held = [one.boot for one in story.state.leases() if one.boot]
    assert len(set(held)) == len(held)
    assert all(not story.state.workers[boot].lost for boot in held)


@given(place=st.integers(0, 10**6), bit=st.integers(0, 7), index=st.integers(0, 10**6))
@settings(max_examples=200)
def test_flipped_bit_of_the_journal_is_refused_with_its_index(
    place: int, bit: int, index: int
) -> None:
    index %= len(LIFE.journal)
    broken = list(LIFE.journal)
    record = bytearray(broken[index])
    record[place % len(record)] ^= 1 << bit
    broken[index] = bytes(record)
    refused = refusal(broken)
    assert str(index) in str(refused) or str(index + 1) in str(refused)


@given(first=st.integers(0, 10**6), second=st.integers(0, 10**6))
def test_swapped_records_are_refused(first: int, second: int) -> None:
    first, second = first % len(LIFE.journal), second % len(LIFE.journal)
    swapped = list(LIFE.journal)
    swapped[first], swapped[second] = swapped[second], swapped[first]
    if first == second:
        assert replayed(Shelf(swapped), SHORT).state.pack() == LIFE.state.pack()
    else:
        assert f"index {min(first, second)}" in str(refusal(swapped))


@given(index=st.integers(0, 10**6))
def test_dropped_record_is_refused_unless_it_is_the_last(index: int) -> None:
    index %= len(LIFE.journal) - 1
    dropped = [*LIFE.journal[:index], *LIFE.journal[index + 1 :]]
    assert f"index {index}" in str(refusal(dropped))


@given(index=st.integers(0, 10**6), to=st.integers(0, 10**6))
def test_doubled_record_is_refused(index: int, to: int) -> None:
    index, to = index % len(LIFE.journal), 1 + to % len(LIFE.journal)
    doubled = [*LIFE.journal[:to], LIFE.journal[index], *LIFE.journal[to:]]
    assert f"index {to}" in str(refusal(doubled))


@given(index=st.integers(1, 10**6), place=st.integers(1, 10**6))
def test_record_of_another_history_of_the_job_is_refused(index: int, place: int) -> None:
    index, place = 1 + index % (len(OTHER.journal) - 1), 1 + place % (len(LIFE.journal) - 1)
    spliced = [*LIFE.journal[:place], OTHER.journal[index], *LIFE.journal[place + 1 :]]
    assert f"index {place}" in str(refusal(spliced))


@given(end=st.integers(0, 10**6))
def test_shortened_journal_gives_the_state_of_a_prefix(end: int) -> None:
    end = 1 + end % len(LIFE.journal)
    history = replayed(Shelf(LIFE.journal[:end]), SHORT)
    assert history.index == end
    assert go_on(LIFE, history.state, end).pack() == LIFE.state.pack()


def refusal(journal: list[bytes]) -> TamperDetected:
    with pytest.raises(TamperDetected) as refused:
        replayed(Shelf(journal), SHORT)
    return refused.value


def test_open_effects_are_there_again_after_a_replay() -> None:
    story = Story()
    member = story.open(LAB, Purpose.RECIPE, "")
    story.tell(member.says(MANIFEST))
    assert replayed(Shelf(story.journal)).state.open_effects == story.state.open_effects
    assert len(story.state.open_effects) == 1
    running_one, trainer = running()
    running_one.train(trainer)
    again = replayed(Shelf(running_one.journal)).state
    assert again.open_effects == running_one.state.open_effects
    assert len(again.open_effects) == 1


def test_closed_effects_stay_closed_after_a_replay() -> None:
    story = Story()
    story.imported()
    assert replayed(Shelf(story.journal)).state.open_effects == ()


def test_positions_say_where_reading_goes_on() -> None:
    story = Story()
    story.imported()
    story.join()
    assert story.state.positions == {"control/0": 1, "workers/0": 1}


LIFE = life([decision * 7919 % 2**20 for decision in range(40)])
OTHER = life([decision * 6101 % 2**20 for decision in range(40)])
