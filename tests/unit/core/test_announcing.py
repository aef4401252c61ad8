"""Control records: taken once, in order, from the session that holds the claim."""

from __future__ import annotations

import pytest

from chiron_stream.errors import TamperDetected
from chiron_stream.wire.control import Body, Fin, RecipeManifest, Use, chain_start, seal_control
from chiron_stream.wire.receipts import shard_leaf
from chiron_stream.wire.replies import Acknowledged
from chiron_stream.wire.session import Purpose
from chiron_stream.wire.workers import Outcome
from enclave_workers.core.coordinator.announcing import MAX_SHARD_ROWS, read_controlled
from enclave_workers.core.coordinator.effects import Contradict
from enclave_workers.core.coordinator.events import Acknowledging
from enclave_workers.core.coordinator.state import DataSetState, ImportEffect, ShardStatus
from tests.unit.core.story import (
    MANIFEST,
    Member,
    Story,
    Worker,
    announcement,
    digest,
    every,
    faulty,
    only,
    ref,
    replies,
    running,
    tampered,
    trained,
)
from tests.unit.job.builders import JOHN, LAB, MARY


def refusals(story: Story, member: Member, body: Body) -> list[str]:
    """Return the codes with which a record is refused, as its sender is told."""
    counter = member.counter
    story.tell(member.says(body))
    answer = only(Acknowledged, replies(story.tell(Acknowledging()), member))
    assert answer.next_counter == counter + 1
    assert {one.counter for one in answer.refusals} <= {counter}
    return [one.code for one in answer.refusals]


def data_set(story: Story) -> DataSetState:
    found = story.state.data_set(MARY.public, "icu")
    assert found is not None
    return found


def test_announcement_is_accepted_with_what_it_says() -> None:
    story = Story()
    member = story.open(MARY)
    assert refusals(story, member, announcement(0, 7, partition=3, first=99)) == []
    shard = data_set(story).shards[0]
    assert (shard.rows, shard.partition, shard.first, shard.status) == (7, 3, 99, 1)
    assert shard.session == member.session


def test_same_digest_again_is_a_repeat() -> None:
    story = Story()
    member = story.open(MARY)
    refusals(story, member, announcement(0))
    before = data_set(story).pack()
    assert refusals(story, member, announcement(0)) == []
    assert data_set(story).pack() == before


def test_another_digest_is_a_conflict() -> None:
    story = Story()
    member = story.open(MARY)
    refusals(story, member, announcement(0))
    before = data_set(story).pack()
    assert refusals(story, member, announcement(0, digest=digest("other"))) == ["CONFLICT"]
    assert data_set(story).shards[0].contradicted
    data_set(story).shards[0].contradicted = False
    assert data_set(story).pack() == before


def test_another_session_s_shard_under_a_taken_number_is_a_conflict() -> None:
    story = Story()
    story.publish(MARY, [10], fin=False)
    assert refusals(story, story.open(MARY), announcement(0)) == ["CONFLICT"]


def test_conflict_is_receipted_with_both_leaves_and_where_it_stands() -> None:
    story = Story()
    member = story.open(MARY)
    story.tell(member.says(announcement(0)))
    other = announcement(0, digest=digest("other"))
    conflict = only(Contradict, story.tell(member.says(other))).conflict
    assert conflict.first == shard_leaf(member.session, 0, digest(0))
    assert conflict.second == shard_leaf(member.session, 0, digest("other"))
    assert (conflict.job, conflict.policy_head) == (story.context.job, story.context.head)
    assert (conflict.epoch, conflict.index) == (1, story.sealer.index - 1)
    assert conflict.journal_head == story.sealer.head


def test_conflict_with_an_earlier_session_names_both_sessions() -> None:
    story = Story()
    first = story.publish(MARY, [10], fin=False)
    second = story.open(MARY)
    conflict = only(Contradict, story.tell(second.says(announcement(0)))).conflict
    assert conflict.first == shard_leaf(first.session, 0, digest("st-mary 1"))
    assert conflict.second == shard_leaf(second.session, 0, digest(0))


def test_conflict_of_one_shard_is_receipted_once() -> None:
    story = Story()
    member = story.open(MARY)
    story.tell(member.says(announcement(0)))
    for number in range(3):
        story.tell(member.says(announcement(0, digest=digest(("other", number)))))
    assert len(every(Contradict, story.effects)) == 1


def test_repeat_and_other_refusals_are_no_conflict() -> None:
    story = Story()
    member = story.open(MARY)
    for body in (announcement(0), announcement(0), announcement(7), Fin(9)):
        story.tell(member.says(body))
    assert every(Contradict, story.effects) == []


@pytest.mark.parametrize("number", [1, 2, 1000])
def test_skipped_number_is_a_gap(number: int) -> None:
    story = Story()
    assert refusals(story, story.open(MARY), announcement(number)) == ["GAP"]


def test_fin_of_another_count_is_a_gap() -> None:
    story = Story()
    member = story.publish(MARY, [10, 10], fin=False)
    assert refusals(story, member, Fin(3)) == ["GAP"]
    assert refusals(story, member, Fin(2)) == []


def test_shard_after_fin_is_refused() -> None:
    story = Story()
    member = story.publish(MARY, [10])
    assert refusals(story, member, announcement(1)) == ["AFTER_FIN"]


def test_second_fin_of_another_count_is_refused_and_the_same_is_a_repeat() -> None:
    story = Story()
    member = story.publish(MARY, [10])
    assert refusals(story, member, Fin(2)) == ["AFTER_FIN"]
    assert refusals(story, member, Fin(1)) == []


@pytest.mark.parametrize("rows", [0, MAX_SHARD_ROWS + 1])
def test_impossible_number_of_rows_is_refused(rows: int) -> None:
    story = Story()
    assert refusals(story, story.open(MARY), announcement(0, rows)) == ["ROWS"]


def test_refused_record_does_not_stop_the_session() -> None:
    story = Story()
    member = story.open(MARY)
    assert refusals(story, member, announcement(5)) == ["GAP"]
    assert refusals(story, member, announcement(0)) == []


def test_recipe_in_a_publishing_session_has_the_wrong_purpose() -> None:
    story = Story()
    assert refusals(story, story.open(MARY), MANIFEST) == ["PURPOSE"]
    assert story.state.recipe is None


def test_shard_in_a_recipe_session_has_the_wrong_purpose() -> None:
    story = Story()
    assert refusals(story, story.open(LAB, Purpose.RECIPE, "icu"), announcement(0)) == ["PURPOSE"]


def test_control_record_in_a_query_session_has_the_wrong_purpose() -> None:
    story = Story()
    assert refusals(story, story.client(), Fin(0)) == ["PURPOSE"]


def test_manifest_opens_an_import() -> None:
    story = Story()
    member = story.open(LAB, Purpose.RECIPE, "")
    effect = only(ImportEffect, story.tell(member.says(MANIFEST)))
    assert story.state.open_effects == (effect,)


def test_second_recipe_is_refused() -> None:
    story = Story()
    story.imported()
    again = story.open(LAB, Purpose.RECIPE, "")
    assert refusals(story, again, MANIFEST) == ["RECIPE_TAKEN"]


@pytest.mark.parametrize("place", [("no-such-topic", 0), ("bulk", 1), ("journal", 0)])
def test_manifest_that_points_elsewhere_is_refused(place: tuple[str, int]) -> None:
    story = Story()
    member = story.open(LAB, Purpose.RECIPE, "")
    assert refusals(story, member, RecipeManifest(ref(), ref(*place))) == ["PLACE"]
    assert story.state.open_effects == ()
    assert refusals(story, member, MANIFEST) == []


def test_acknowledgement_comes_once_a_batch_and_covers_all_before() -> None:
    story = Story()
    member = story.open(MARY)
    for number in range(3):
        story.tell(member.says(announcement(number)))
    assert replies(story.tell(Acknowledging()), member) == [Acknowledged(4, ())]
    assert replies(story.tell(Acknowledging()), member) == []


def refusal_of(story: Story, record: bytes) -> str:
    with pytest.raises(TamperDetected) as refused:
        read_controlled(story.state, record)
    return refused.value.code


def test_record_that_was_taken_before_is_a_repeat() -> None:
    story = Story()
    member = story.open(MARY)
    event = member.says(announcement(0))
    story.tell(event)
    assert refusal_of(story, event.record) == "REPEAT"


def test_record_that_skips_one_is_out_of_sequence() -> None:
    story = Story()
    member = story.open(MARY)
    first, second = member.record(announcement(0)), member.record(announcement(1))
    assert refusal_of(story, second) == "SEQUENCE"
    assert read_controlled(story.state, first) == (member.session, announcement(0))


def test_record_of_another_chain_is_refused() -> None:
    story = Story()
    member = story.open(MARY)
    keys = member.keys
    record = seal_control(keys.control, keys.session, 1, chain_start(b"other"), announcement(0))
    assert refusal_of(story, record) == "CHAIN"


def test_record_of_no_session_is_refused() -> None:
    story = Story()
    assert refusal_of(story, story.session(MARY).record(announcement(0))) == "UNKNOWN_SESSION"


def test_record_spliced_into_another_session_is_refused() -> None:
    story = Story()
    mary, other = story.open(MARY), story.client()
    keys = mary.keys
    record = seal_control(keys.control, other.session, 1, other.chain, announcement(0))
    assert refusal_of(story, record) == "DOES_NOT_OPEN"


@pytest.mark.parametrize("from_the_end", [1, 10, 20])
def test_altered_record_does_not_open(from_the_end: int) -> None:
    story = Story()
    member = story.open(MARY)
    record = member.record(announcement(0))
    assert read_controlled(story.state, record)
    assert refusal_of(story, tampered(record, len(record) - from_the_end)) == "DOES_NOT_OPEN"


def parked() -> tuple[Story, Worker]:
    """Return a job with Mary's shard 0 parked."""
    story, trainer = running(mary=[10], john=[10])
    if story.slots[0].shards[0].owner != MARY.public:
        story.tell(trainer.reports_that(trained(story.slots[0])))
    slot = next(one for one in story.slots if one.shards[0].owner == MARY.public)
    story.tell(trainer.reports_that(faulty(slot, Outcome.PARKED, 0)))
    assert data_set(story).shards[0].status is ShardStatus.PARKED
    return story, trainer


def test_parked_shard_is_replaced_by_a_later_session_s_under_another_digest() -> None:
    story, _ = parked()
    again = story.open(MARY)
    assert refusals(story, again, announcement(0, digest=digest("resealed"))) == []
    shard = data_set(story).shards[0]
    assert (shard.status, shard.digest) == (ShardStatus.ACCEPTED, digest("resealed"))
    assert shard.session == again.session


def test_shard_that_is_not_parked_is_not_replaced() -> None:
    story, _ = running()
    again = story.open(MARY)
    assert refusals(story, again, announcement(0, digest=digest("resealed"))) == ["CONFLICT"]


def test_evaluation_rows_never_train() -> None:
    story = Story()
    story.imported()
    member = story.open(MARY)
    story.tell(member.says(announcement(0, use=Use.EVALUATE)))
    story.tell(member.says(Fin(1)))
    story.publish(JOHN, [10])
    planned = [one for slot in story.slots for one in slot.shards]
    assert planned
    assert all(one.owner != MARY.public for one in planned)
