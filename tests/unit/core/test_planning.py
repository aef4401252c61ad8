"""The plan: a function of policy and shards alone; who is there decides only who trains."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chiron_stream.job.policy import Policy
from chiron_stream.wire.control import Fin
from chiron_stream.wire.tasks import SlotTask
from chiron_stream.wire.workers import Outcome
from enclave_workers.core.coordinator.planning import slot_seed, waiting_for
from enclave_workers.core.coordinator.state import ShardId
from enclave_workers.core.coordinator.windows import everything, plan_pass
from tests.unit.core.story import (
    POLICY,
    Story,
    announcement,
    digest,
    faulty,
    only,
    running,
    tasks,
    trained,
    with_schedule,
)
from tests.unit.job.builders import JOHN, MARY

Plan = tuple[tuple[ShardId, ...], ...]


def planned(story: Story) -> Plan:
    return planned_by(story.context.policy, story)


def planned_by(policy: Policy, story: Story) -> Plan:
    story.state.window = everything(story.state)
    return plan_pass(policy, story.state)


def story_of(mary: list[int], john: list[int]) -> Story:
    story = Story()
    story.whole(mary, john)
    return story


def slots(story: Story) -> int:
    return len(story.slots)


def waits_for(story: Story) -> str:
    return waiting_for(story.context, story.state)


def test_nothing_is_planned_before_there_is_a_recipe_and_every_fin() -> None:
    story = Story()
    assert waits_for(story) == "recipe"
    story.whole()
    assert slots(story) == 0
    story.imported()
    assert slots(story) == 2
    assert waits_for(story) == "trainer"


def test_planning_waits_for_the_fin_of_every_listed_data_set() -> None:
    story = Story()
    story.imported()
    story.publish(MARY, [10, 10])
    john = story.publish(JOHN, [10], fin=False)
    assert (slots(story), waits_for(story)) == (0, "data-sets")
    story.tell(john.says(Fin(1)))
    assert slots(story) == 2


def test_next_round_waits_while_a_shard_is_parked() -> None:
    story, trainer = running(with_schedule(slots=1), mary=[10, 10], john=[10])
    story.train(trainer)
    story.merge()
    (slot,) = story.slots
    story.tell(trainer.reports_that(faulty(slot, Outcome.PARKED, 0)))
    assert waits_for(story) == "parked-shards"
    assert story.slots[0].boot is None


def test_order_of_shards_does_not_depend_on_the_order_of_arrival() -> None:
    plans = set()
    for first, second in permutations([(MARY, [10, 20, 30]), (JOHN, [40, 50])]):
        story = Story()
        story.publish(*first)
        story.publish(*second)
        plans.add(planned(story))
    assert len(plans) == 1


def test_order_of_shards_does_not_depend_on_interleaving_digests_sessions_or_places() -> None:
    story, other = Story(), Story()
    story.whole([10, 10, 10], [10, 10])
    mary, john = other.open(MARY), other.open(JOHN)
    for number in range(2):
        for member in (john, mary):
            strange = announcement(number, digest=digest(member), first=77, partition=3)
            other.tell(member.says(strange))
    mary = other.open(MARY)
    other.tell(mary.says(announcement(2)))
    assert planned(story) == planned(other)


def test_seed_and_pass_decide_the_order() -> None:
    story = story_of([10] * 8, [10] * 8)
    first = planned(story)
    story.state.turns = 1
    assert planned(story) != first
    story.state.turns = 0
    assert planned(story) == first
    assert planned_by(replace(POLICY, seed=bytes(32)), story) != first


sizes = st.lists(st.integers(1, 5), max_size=9)


@given(mary=sizes, john=sizes)
def test_plan_uses_every_shard_once_in_slots_of_one_owner(mary: list[int], john: list[int]) -> None:
    story = story_of(mary, john)
    plan = planned(story)
    used = Counter(shard for slot in plan for shard in slot)
    assert set(used.values()) <= {1}
    assert all(len({shard.owner for shard in slot}) == 1 for slot in plan)
    dropped = len(mary) + len(john) - len(used)
    assert dropped == (mary == [1]) + (john == [1])


@given(mary=sizes, john=sizes)
def test_slot_has_at_least_two_rows_and_at_most_one_shard_too_many(
    mary: list[int], john: list[int]
) -> None:
    story = story_of(mary, john)
    for slot in planned(story):
        assert sum(story.state.shard(one).rows for one in slot) >= 2
        assert len(slot) <= story.context.policy.schedule.shards_per_slot + 1


def test_rest_of_one_row_joins_the_owner_s_slot_before() -> None:
    story = story_of([1, 1, 1], [])
    (slot,) = planned(story)
    assert sorted(one.number for one in slot) == [0, 1, 2]


def test_single_row_of_an_owner_is_left_out() -> None:
    assert planned(story_of([1], [])) == ()


def test_every_pass_uses_every_shard_once() -> None:
    story, trainer = running(with_schedule(passes=3), mary=[10] * 5, john=[10] * 3)
    used: Counter[ShardId] = Counter()
    while not story.state.finished:
        used.update(shard for slot in story.slots for shard in slot.shards)
        story.train(trainer)
        story.merge()
    assert len(used) == 8
    assert set(used.values()) == {3}
    assert story.state.passes == 3


def test_round_has_the_policy_s_number_of_slots() -> None:
    story, _ = running(mary=[10] * 6, john=[10] * 2)
    assert len(story.slots) == 2
    assert len(story.state.queue) == 2


def test_seeds_and_task_ids_are_functions_of_job_round_and_slot() -> None:
    story, _ = running()
    again, _ = running()
    assert [one.seed for one in story.slots] == [slot_seed(POLICY, 1, n) for n in (0, 1)]
    assert [one.task for one in story.slots] == [one.task for one in again.slots]
    assert len({slot_seed(POLICY, r, s) for r in range(30) for s in range(30)}) == 900


@pytest.mark.parametrize("place", [(0, 0), (1, 0), (10**6, 1023)])
def test_seed_fits_torch_s_generator(place: tuple[int, int]) -> None:
    assert 0 <= slot_seed(POLICY, *place) < 2**63


def test_task_names_base_shards_and_their_keys() -> None:
    story = Story()
    story.imported()
    mary = story.publish(MARY, [10, 20])
    story.publish(JOHN, [10])
    trainer = story.join()
    task = only(SlotTask, tasks(story.effects))
    slot = next(one for one in story.slots if one.boot == trainer.boot)
    if slot.shards[0].owner != MARY.public:
        task = only(SlotTask, tasks(story.tell(trainer.reports_that(trained(slot)))))
        slot = next(one for one in story.slots if one.boot == trainer.boot and not one.result)
    assert (task.task, task.seed, task.first_step) == (slot.task, slot.seed, 0)
    version = story.state.version
    assert version is not None
    assert task.base.ref == version.ref
    for grant, shard in zip(task.shards, slot.shards, strict=True):
        assert grant.key == mary.keys.shard("icu", shard.number)
        assert (grant.session, grant.number) == (mary.session, shard.number)
        assert grant.rows == [10, 20][shard.number]


def test_first_step_counts_the_batches_of_the_versions_before() -> None:
    story, trainer = running()
    story.train(trainer)
    task = only(SlotTask, tasks(story.merge()))
    assert task.first_step == 2
