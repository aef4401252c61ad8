"""Imports, merges, receipts and releases."""

from __future__ import annotations

from dataclasses import replace

import pytest

from chiron_stream.wire.receipts import checkpoint_hash, leaves_root, shard_leaf
from chiron_stream.wire.replies import Imported, ImportRefused, ShardTrained
from chiron_stream.wire.session import Purpose
from chiron_stream.wire.tasks import Serve
from chiron_stream.wire.workers import Outcome
from enclave_workers.core.coordinator.effects import Certify, Disclose, PublishHead
from enclave_workers.core.coordinator.events import ImportFailed, Merged
from enclave_workers.core.coordinator.state import ImportEffect, MergeEffect
from tests.unit.core.story import (
    MANIFEST,
    Story,
    Worker,
    digest,
    every,
    faulty,
    only,
    ref,
    replies,
    running,
    tasks,
    with_disclosure,
    with_schedule,
)
from tests.unit.job.builders import JOHN, LAB, MARY

LATE = with_disclosure(minimum_owners=1, minimum_rows=25)
ONE_SLOT = with_schedule(slots=1, passes=1)


def test_import_answers_the_provider_and_closes_its_effect() -> None:
    story = Story()
    member = story.imported()
    assert only(Imported, replies(story.effects, member)).parameter_bytes == 40
    assert story.state.open_effects == ()
    assert story.state.version is not None
    assert story.state.version.number == 0


def test_refused_import_tells_the_provider_why_and_another_recipe_may_come() -> None:
    story = Story()
    member = story.open(LAB, Purpose.RECIPE, "")
    story.tell(member.says(MANIFEST))
    effects = story.tell(ImportFailed("GRAPH_LIMIT", "too large"))
    assert replies(effects, member) == [ImportRefused("GRAPH_LIMIT", "too large")]
    assert story.state.open_effects == ()
    again = story.open(LAB, Purpose.RECIPE, "")
    assert only(ImportEffect, story.tell(again.says(MANIFEST))).session == again.session


def test_merge_is_wanted_once_when_every_slot_has_its_result() -> None:
    story, trainer = running()
    effects = story.train(trainer)
    merge = only(MergeEffect, effects)
    assert merge.results == tuple(slot.result for slot in story.slots)
    assert story.state.open_effects == (merge,)
    assert every(MergeEffect, story.tell(story.session(MARY).opened)) == []


def test_merge_of_another_round_changes_nothing() -> None:
    story, trainer = running()
    story.train(trainer)
    before = story.state.pack()
    assert story.tell(Merged(7, ref(), bytes(32))) == []
    assert story.state.pack() == before


def merged(mary: tuple[int, ...] = (10, 10)) -> tuple[Story, Worker, Certify]:
    story, trainer = running(mary=mary, john=[10])
    story.train(trainer)
    return story, trainer, only(Certify, story.merge())


def test_checkpoint_has_a_leaf_for_each_shard_of_the_round() -> None:
    story, _, certify = merged()
    shards = [shard for one in story.state.data_sets for shard in one.shards.items()]
    wanted = {shard_leaf(shard.session, number, shard.digest) for number, shard in shards}
    assert set(certify.leaves) == wanted
    assert certify.checkpoint.root == leaves_root(certify.leaves)


def test_checkpoint_names_policy_epoch_and_where_the_journal_stands() -> None:
    story, _, certify = merged()
    one = certify.checkpoint
    assert (one.job, one.policy_head) == (story.context.job, story.context.head)
    assert (one.epoch, one.round, one.version) == (1, 1, 1)
    assert (one.index, one.journal_head) == (story.sealer.index - 1, story.sealer.head)
    assert (one.accepted, one.trained, one.void, one.parked) == (3, 3, 0, 0)


def test_commitment_is_no_plain_digest_of_the_parameters() -> None:
    story, _, certify = merged()
    version = story.state.version
    assert version is not None
    plain = {version.digest, version.parameters}
    assert certify.checkpoint.commitment not in plain


def test_checkpoints_are_chained() -> None:
    story, trainer, first = merged()
    story.train(trainer)
    second = only(Certify, story.merge())
    assert first.checkpoint.previous == bytes(32)
    assert second.checkpoint.previous == checkpoint_hash(first.checkpoint.pack())


def test_owners_are_told_once_that_a_shard_was_trained() -> None:
    story, trainer, certify = merged()
    told = every(ShardTrained, replies(story.effects))
    assert sorted(one.number for one in told) == [0, 0, 1]
    assert {one.checkpoint for one in told} == {checkpoint_hash(certify.checkpoint.pack())}
    story.train(trainer)
    assert every(ShardTrained, replies(story.merge())) == []


def test_plan_says_what_was_executed() -> None:
    story, trainer = running()
    slots = story.slots
    base = story.state.version
    story.train(trainer)
    effects = story.merge()
    plan = only(Disclose, effects).plan
    assert base is not None
    assert (plan.round, plan.version, plan.base) == (1, 1, base.digest)
    assert plan.parameters == digest(("parameters", 1))
    for planned, slot in zip(plan.slots, slots, strict=True):
        assert (planned.seed, planned.first_step) == (slot.seed, 0)
        assert [one.number for one in planned.shards] == [one.number for one in slot.shards]
    assert only(PublishHead, effects).version == 1


def test_steps_go_on_behind_the_longest_slot() -> None:
    story, _, _ = merged()
    assert story.state.version is not None
    assert story.state.version.step == 2


def test_release_waits_for_the_minimum_of_owners() -> None:
    story, trainer = running(ONE_SLOT, mary=[10], john=[10])
    story.train(trainer)
    story.merge()
    assert story.state.release == 0
    story.train(trainer)
    story.merge()
    assert story.state.release == 1


def test_release_waits_for_the_minimum_of_rows_since_the_last() -> None:
    policy = with_disclosure(minimum_owners=1, minimum_rows=70)
    story, trainer = running(replace(policy, schedule=ONE_SLOT.schedule), mary=[20] * 6, john=[30])
    since = releases = 0
    while not story.state.finished:
        since += sum(story.state.shard(one).rows for one in story.slots[0].shards)
        story.train(trainer)
        story.merge()
        if since >= 70:
            since, releases = 0, releases + 1
        assert story.state.release == releases
    assert releases == 2 - bool(since)


def test_release_comes_every_so_many_rounds() -> None:
    policy = replace(with_schedule(slots=1, passes=3, release_every=2), disclosure=LATE.disclosure)
    story, trainer = running(policy, mary=[30, 30], john=[30])
    found = []
    while not story.state.finished:
        story.train(trainer)
        story.merge()
        found.append(story.state.release)
    assert found == [0, 1, 1, 2, 2, 3]


def test_release_names_its_version_and_checkpoint() -> None:
    story, _, certify = merged()
    assert story.state.release == 1
    assert story.state.released == story.state.version
    assert story.state.release_checkpoint == checkpoint_hash(certify.checkpoint.pack())
    assert certify.checkpoint.release == 1


def test_release_is_told_to_every_predictor_once() -> None:
    story, trainer = running()
    predictor = story.join("predictor")
    story.train(trainer)
    serve = only(Serve, tasks(story.merge()))
    assert (serve.release, serve.version) == (1, 1)
    assert serve.checkpoint == story.state.release_checkpoint
    assert every(Serve, tasks(story.tell(story.session(MARY).opened))) == []
    assert story.state.workers[predictor.boot].served == 1


def test_predictor_that_comes_later_is_told_the_newest_release() -> None:
    story, trainer = running()
    story.finish(trainer)
    late = Worker(story.context, "predictor")
    serve = only(Serve, tasks(story.tell(late.joins())))
    assert serve.release == story.state.release


def test_job_finishes_behind_the_last_pass_and_says_so_in_its_checkpoint() -> None:
    story, trainer = running()
    story.finish(trainer)
    last = every(Certify, story.effects)[-1].checkpoint
    assert last.finished
    assert story.state.passes == 2
    assert story.state.round is None


def test_job_without_rows_finishes_without_a_release() -> None:
    story = Story()
    story.imported()
    story.whole([], [])
    assert story.state.finished
    assert story.state.release == 0


@pytest.mark.parametrize(("owners", "releases"), [(1, 1), (2, 0)])
def test_last_slots_that_drop_out_do_not_lower_the_minimum_of_owners(
    owners: int, releases: int
) -> None:
    disclosure = replace(LATE.disclosure, minimum_owners=owners, minimum_rows=1)
    policy = replace(with_schedule(slots=1, passes=1, release_every=9), disclosure=disclosure)
    story, trainer = running(policy, mary=[10], john=[10])
    story.train(trainer)
    story.merge()
    story.tell(trainer.reports_that(faulty(story.slots[0], Outcome.VOID, 0)))
    assert story.state.finished
    assert story.state.release == releases


def test_both_owners_are_in_the_first_round_of_this_story() -> None:
    story, _ = running()
    assert {slot.shards[0].owner for slot in story.slots} == {MARY.public, JOHN.public}
