"""Windows of open jobs: when one begins, who is in it, and how often each shard is used."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chiron_stream.job.policy import Kind, Policy
from chiron_stream.wire.control import Fin, Use
from chiron_stream.wire.replies import Accept
from chiron_stream.wire.workers import Outcome
from enclave_workers.core.coordinator.effects import Certify
from enclave_workers.core.coordinator.events import Waited
from enclave_workers.core.coordinator.planning import waiting_for
from enclave_workers.core.coordinator.state import ShardId, ShardStatus
from enclave_workers.core.coordinator.windows import oldest
from tests.unit.core.story import (
    POLICY,
    Member,
    Story,
    Worker,
    announcement,
    digest,
    faulty,
    only,
    replies,
    trained,
    with_schedule,
)
from tests.unit.job.builders import JOHN, MARY


def open_policy(**parts: Any) -> Policy:
    """Return the terms of an open job: two slots of two shards, one pass, a window a round."""
    schedule: dict[str, Any] = {
        "kind": Kind.OPEN,
        "data_sets": (),
        "passes": 1,
        "window": 1,
        "max_wait": 60,
        "owner_slots": 2,
        **parts,
    }
    return with_schedule(**schedule)


class Stream:
    """An open job with a trainer, and owners who go on publishing."""

    def __init__(self, **parts: Any) -> None:
        self.story = Story(open_policy(**parts))
        self.story.imported()
        self.trainers: list[Worker] = [self.story.join()]
        self.mary = self.story.open(MARY, data_set="beds")
        self.john = self.story.open(JOHN, data_set="labs")
        self._next: Counter[bytes] = Counter()

    def arrive(self, member: Member, *rows: int, use: Use = Use.TRAIN) -> None:
        for count in rows:
            number = self._next[member.session]
            self._next[member.session] += 1
            name = digest((member.session, number))
            self.story.tell(member.says(announcement(number, count, digest=name, use=use)))

    def wait_enough(self) -> None:
        """Let the timer say that everything has waited long enough."""
        self.story.tell(Waited(self.story.state.arrivals))

    @property
    def trainer(self) -> Worker:
        return self.trainers[0]

    def round(self) -> list[ShardId]:
        """Train and merge the round at hand, whoever came last first; return its shards."""
        used = [one for slot in self.story.slots for one in slot.shards]
        while any(slot.result is None for slot in self.story.slots):
            for trainer in reversed(self.trainers):
                self.story.train(trainer)
        self.story.merge()
        return used

    @property
    def slots(self) -> list[tuple[str, int]]:
        """The owner of each slot at hand, by the name of its data set, and its shards."""
        return [(slot.shards[0].name, len(slot.shards)) for slot in self.story.slots]

    @property
    def waits_for(self) -> str:
        return waiting_for(self.story.context, self.story.state)


def test_window_begins_when_it_is_full() -> None:
    stream = Stream()
    assert stream.waits_for == "shards"
    stream.arrive(stream.mary, 10, 10, 10)
    assert (stream.slots, stream.waits_for) == ([], "full-window")
    stream.arrive(stream.mary, 10)
    assert stream.slots == [("beds", 2), ("beds", 2)]


def test_window_begins_as_it_is_when_its_oldest_shard_has_waited_too_long() -> None:
    stream = Stream()
    stream.arrive(stream.mary, 10)
    stream.arrive(stream.john, 10)
    stream.story.tell(Waited(0))
    assert stream.slots == []
    stream.story.tell(Waited(1))
    assert sorted(stream.slots) == [("beds", 1), ("labs", 1)]
    assert stream.story.state.waiting == {}


def test_shard_that_came_behind_the_timer_waits_on() -> None:
    stream = Stream()
    stream.arrive(stream.mary, 10)
    stream.wait_enough()
    stream.round()
    stream.arrive(stream.mary, 10)
    assert stream.slots == []
    assert oldest(stream.story.state) == 2


def test_owners_take_turns_and_the_next_window_goes_on_with_the_next_owner() -> None:
    stream = Stream(slots=1, shards_per_slot=1)
    stream.arrive(stream.mary, 10, 10, 10)
    stream.arrive(stream.john, 10, 10)
    names = [stream.round()[0].name for _ in range(5)]
    assert names == ["beds", "labs", "beds", "labs", "beds"]


def test_owner_who_floods_gets_no_more_than_the_cap_and_holds_nobody_up() -> None:
    stream = Stream(slots=3, shards_per_slot=1, owner_slots=2)
    stream.arrive(stream.mary, *[10] * 50)
    assert stream.slots == [], "two slots are hers, the third is for somebody else"
    stream.arrive(stream.john, 10)
    assert Counter(name for name, _ in stream.slots) == {"beds": 2, "labs": 1}
    stream.round()
    stream.arrive(stream.john, 10)
    assert Counter(name for name, _ in stream.slots) == {"beds": 2, "labs": 1}


def test_flood_alone_goes_on_at_the_cap_when_the_timer_says_so() -> None:
    stream = Stream(slots=3, shards_per_slot=1, owner_slots=2)
    stream.arrive(stream.mary, *[10] * 5)
    stream.wait_enough()
    assert [len(stream.round()) for _ in range(3)] == [2, 2, 1]


def test_shards_of_an_owner_are_taken_in_the_order_of_their_arrival() -> None:
    stream = Stream(slots=1, shards_per_slot=3)
    stream.arrive(stream.mary, *[10] * 9)
    rounds = [sorted(one.number for one in stream.round()) for _ in range(3)]
    assert rounds == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]


def test_each_shard_has_its_passes_within_its_window() -> None:
    stream = Stream(slots=1, shards_per_slot=2, passes=3, window=2)
    stream.arrive(stream.mary, *[10] * 8)
    rounds = [[one.number for one in stream.round()] for _ in range(12)]
    first, second = rounds[:6], rounds[6:]
    assert Counter(n for used in first for n in used) == dict.fromkeys(range(4), 3)
    assert Counter(n for used in second for n in used) == dict.fromkeys(range(4, 8), 3)
    assert len({tuple(one) for one in first}) > 2, "each pass has an order of its own"


def test_shard_of_one_row_waits_for_company() -> None:
    stream = Stream(slots=1, shards_per_slot=1)
    stream.arrive(stream.mary, 1)
    stream.wait_enough()
    assert stream.slots == []
    stream.arrive(stream.john, 10)
    assert stream.slots == [("labs", 1)]
    stream.round()
    stream.arrive(stream.mary, 1)
    assert stream.slots == [("beds", 2)]


def test_owner_comes_in_the_middle_leaves_and_comes_back() -> None:
    stream = Stream(slots=1, shards_per_slot=1)
    stream.arrive(stream.mary, 10)
    assert [one.name for one in stream.round()] == ["beds"]
    late = stream.story.open(JOHN, data_set="late")
    stream.story.tell(late.says(announcement(0)))
    assert [one.name for one in stream.round()] == ["late"]
    stream.story.tell(late.says(Fin(1)))
    again = stream.story.session(MARY, data_set="beds")
    accept = only(Accept, replies(stream.story.tell(again.opened)))
    assert (accept.next_number, accept.token, accept.fin) == (1, b"token 0", False)
    stream.story.tell(again.says(announcement(1)))
    assert stream.round() == [ShardId(MARY.public, "beds", 1)]


def test_parked_shard_leaves_the_round_and_comes_back_when_it_is_announced_again() -> None:
    stream = Stream(slots=1, shards_per_slot=2, passes=2)
    stream.arrive(stream.mary, 10, 10)
    (slot,) = stream.story.slots
    place = slot.shards.index(ShardId(MARY.public, "beds", 0))
    stream.story.tell(stream.trainer.reports_that(faulty(slot, Outcome.PARKED, place)))
    assert stream.slots == [("beds", 1)], "the round goes on without it"
    stream.round()
    assert stream.slots == [("beds", 1)], "so does the next pass"
    stream.story.tell(stream.mary.says(announcement(0, 10, digest=digest("again"))))
    stream.round()
    assert stream.slots == [], "a window of its own, when it is full or has waited"
    stream.wait_enough()
    assert stream.round() == [ShardId(MARY.public, "beds", 0)]
    assert stream.round() == [ShardId(MARY.public, "beds", 0)]


def test_parked_shard_that_comes_back_in_time_goes_on_with_its_window() -> None:
    stream = Stream(slots=1, shards_per_slot=2, passes=2)
    stream.arrive(stream.mary, 10, 10)
    (slot,) = stream.story.slots
    stream.story.tell(stream.trainer.reports_that(faulty(slot, Outcome.PARKED, 0)))
    again = announcement(slot.shards[0].number, 10, digest=digest("again"))
    stream.story.tell(stream.mary.says(again))
    uses: Counter[int] = Counter()
    stream.wait_enough()
    while stream.story.slots:
        uses.update(one.number for one in stream.round())
        stream.wait_enough()
    assert uses == {0: 2, 1: 2}


def test_owner_who_announces_and_never_sends_does_not_hold_up_the_others() -> None:
    stream = Stream(slots=2, shards_per_slot=1, owner_slots=1)
    stream.arrive(stream.mary, 10)
    stream.arrive(stream.john, 10)
    missing = next(one for one in stream.story.slots if one.shards[0].name == "beds")
    if missing.boot is None:
        stream.story.tell(stream.trainer.reports_that(trained(stream.story.slots[0])))
    stream.story.tell(stream.trainer.reports_that(faulty(missing, Outcome.PARKED, 0)))
    assert [one.name for one in stream.round()] == ["labs"]
    assert stream.story.state.count(ShardStatus.PARKED) == 1


def test_rows_for_evaluation_are_in_no_window() -> None:
    stream = Stream(slots=1, shards_per_slot=1)
    stream.arrive(stream.mary, 10, use=Use.EVALUATE)
    stream.wait_enough()
    assert (stream.slots, stream.waits_for) == ([], "shards")


def test_job_that_is_open_never_finishes() -> None:
    stream = Stream(slots=1, shards_per_slot=1)
    stream.arrive(stream.mary, 10)
    stream.story.tell(stream.mary.says(Fin(1)))
    stream.round()
    assert not stream.story.state.finished
    certified = only(Certify, [one for one in stream.story.effects if isinstance(one, Certify)])
    assert not certified.checkpoint.finished


def test_state_forgets_what_is_done_and_keeps_what_it_must() -> None:
    stream = Stream(slots=1, shards_per_slot=1)
    stream.arrive(stream.mary, *[10] * 20)
    for _ in range(20):
        stream.round()
    stream.arrive(stream.john, 10)  # a window ends when the next one is to begin
    (beds,) = [one for one in stream.story.state.data_sets if one.name == "beds"]
    assert (beds.count, set(beds.shards)) == (20, {19})
    assert stream.story.state.count(ShardStatus.TRAINED) == 20
    again = stream.story.session(MARY, data_set="beds")
    accept = only(Accept, replies(stream.story.tell(again.opened)))
    assert (accept.next_number, accept.token) == (20, b"token 19")


def test_shard_that_was_forgotten_is_not_taken_again() -> None:
    stream = Stream(slots=1, shards_per_slot=1)
    stream.arrive(stream.mary, 10, 10)
    stream.round()
    stream.round()
    stream.arrive(stream.john, 10)
    stream.story.tell(stream.mary.says(announcement(0)))
    session = stream.story.state.sessions[stream.mary.session]
    assert [one.code for one in session.refusals] == ["SETTLED"]


def test_one_owner_has_a_bounded_number_of_data_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("enclave_workers.core.coordinator.opening.OWNER_DATA_SETS", 2)
    stream = Stream()
    stream.story.open(MARY, data_set="second")
    third = stream.story.open(MARY, data_set="third")
    assert not stream.story.state.sessions[third.session].open
    assert stream.story.state.data_set(MARY.public, "third") is None


terms = st.fixed_dictionaries(
    {
        "slots": st.integers(1, 3),
        "shards_per_slot": st.integers(1, 3),
        "passes": st.integers(1, 3),
        "window": st.integers(1, 2),
        "owner_slots": st.just(1),
    }
)
arrivals = st.lists(st.tuples(st.booleans(), st.integers(1, 9)), min_size=1, max_size=25)


@given(parts=terms, shards=arrivals)
@settings(max_examples=150)
def test_every_shard_is_used_as_often_as_planned_by_whoever_trains(
    parts: dict[str, int], shards: list[tuple[bool, int]]
) -> None:
    stream = Stream(**parts)
    uses: Counter[ShardId] = Counter()
    for of_mary, rows in shards:
        stream.arrive(stream.mary if of_mary else stream.john, rows)
        if len(shards) % 3 == 0 and stream.story.slots:
            uses.update(stream.round())
    stream.wait_enough()
    while stream.story.slots:
        uses.update(stream.round())
        stream.wait_enough()
    alone = [rows for rows in _rows_by_owner(shards) if rows == [1]]
    assert set(uses.values()) <= {parts["passes"]}
    assert len(uses) >= len(shards) - _left_over(stream)
    assert _left_over(stream) <= 2
    assert _left_over(stream) >= len(alone)


def _rows_by_owner(shards: list[tuple[bool, int]]) -> list[list[int]]:
    return [[rows for of_mary, rows in shards if of_mary is whose] for whose in (True, False)]


def _left_over(stream: Stream) -> int:
    """Return how many shards wait for company: at most one of one row for each owner."""
    return sum(len(queue) for queue in stream.story.state.waiting.values())


@given(parts=terms, shards=arrivals)
@settings(max_examples=50)
def test_who_trains_decides_nothing(parts: dict[str, int], shards: list[tuple[bool, int]]) -> None:
    alone, together = Stream(**parts), Stream(**parts)
    together.trainers += [together.story.join() for _ in range(3)]
    plans = []
    for stream in (alone, together):
        for of_mary, rows in shards:
            stream.arrive(stream.mary if of_mary else stream.john, rows)
        stream.wait_enough()
        plan = []
        while stream.story.slots:
            plan.append([(slot.seed, slot.shards) for slot in stream.story.slots])
            stream.round()
            stream.wait_enough()
        plans.append(plan)
    assert plans[0] == plans[1]


def test_closed_job_is_one_window_of_everything() -> None:
    story = Story(replace(POLICY, schedule=replace(POLICY.schedule, passes=2)))
    story.imported()
    story.whole([10, 10], [10])
    assert (story.state.windows, len(story.state.window)) == (1, 3)
    story.finish(story.join())
    assert (story.state.windows, story.state.finished) == (1, True)
