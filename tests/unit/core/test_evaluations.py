"""Owners' scores: which releases, which shards, who computes, what is charged, who is told."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from chiron_stream.job.policy import DataSet, Kind, Policy
from chiron_stream.wire.control import Fin, Use
from chiron_stream.wire.document import fixed, whole
from chiron_stream.wire.replies import Scored, ShardParked, ShardVoid
from chiron_stream.wire.tasks import EvaluateTask, SlotTask
from chiron_stream.wire.workers import Outcome
from enclave_workers.core.coordinator.effects import Certify, Effect
from enclave_workers.core.coordinator.evaluating import OWNER_SHARDS
from enclave_workers.core.coordinator.events import Acknowledging, Lost, Retried
from enclave_workers.core.coordinator.leasing import MOST_FAILURES
from enclave_workers.core.coordinator.planning import waiting_for
from enclave_workers.core.coordinator.presence import Presence
from enclave_workers.core.coordinator.state import Evaluation, ShardId, ShardStatus
from tests.unit.core.story import (
    POLICY,
    Member,
    Story,
    Worker,
    announcement,
    digest,
    every,
    only,
    replies,
    scored,
    tasks,
    trained,
    unscored,
    with_schedule,
)
from tests.unit.job.builders import JOHN, MARY, REGRESSION


def granted(every_releases: int = 1, ceiling: int = 1000, **schedule: Any) -> Policy:
    """Return terms of one slot a round, a release a round, and scores."""
    parts = {"slots": 1, "passes": 1, **schedule}
    policy = with_schedule(**parts)
    sets = tuple(
        DataSet(one.public, name) for one in (MARY, JOHN) for name in ("icu", "held-out", "more")
    )
    return replace(
        policy,
        schedule=replace(policy.schedule, data_sets=sets),
        disclosure=replace(
            policy.disclosure,
            minimum_owners=1,
            minimum_rows=1,
            score_every=every_releases,
            score_ceiling=ceiling,
        ),
    )


class Scene:
    """A job whose owners hold rows out, and whose data sets are whole."""

    def __init__(
        self, policy: Policy | None = None, mary: tuple[int, ...] = (7, 9), rounds: int = 2
    ) -> None:
        self.story = Story(policy or granted())
        self.story.imported()
        self.mary = self.story.hold_out(MARY, mary)
        self.heard = self.story.listen(MARY)
        self.story.publish(MARY, [10] * (2 * rounds - 2))
        self.story.publish(JOHN, [10])
        for who, name in ((MARY, "more"), (JOHN, "held-out"), (JOHN, "more")):
            self.story.tell(self.story.open(who, data_set=name).says(Fin(0)))
        self.story.tell(self.mary.says(Fin(len(mary))))
        self.trainer = self.story.join()

    def round(self) -> list[Effect]:
        """Train and merge the round at hand, behind the evaluation that goes first."""
        while (
            self.open and self.open[0].boot == self.trainer.boot and not self.story.state.finished
        ):
            self.score()
        self.story.train(self.trainer)
        return self.story.merge()

    @property
    def open(self) -> tuple[Evaluation, ...]:
        return self.story.state.evaluations

    def score(self, worker: Worker | None = None, value: int = 3) -> list[Effect]:
        """Let the first open evaluation be computed by whoever holds it."""
        return self.story.tell((worker or self.trainer).reports_that(scored(self.open[0], value)))

    @property
    def scores(self) -> list[Scored]:
        return every(Scored, replies(self.story.effects, self.heard))


def evaluations(effects: list[Effect]) -> list[EvaluateTask]:
    return every(EvaluateTask, tasks(effects))


def test_every_release_has_an_evaluation_for_each_owner_that_holds_rows_out() -> None:
    scene = Scene()
    scene.round()
    (one,) = scene.open
    assert (one.owner, one.release, one.version.number) == (MARY.public, 1, 1)
    assert [shard.number for shard in one.shards] == [0, 1]
    assert one.rows == 16


def test_score_is_told_to_its_owner_with_what_the_trainer_counted() -> None:
    scene = Scene(rounds=1)
    john = scene.story.listen(JOHN)
    scene.round()
    scene.score(value=11)
    (told,) = scene.scores
    assert (told.release, told.version) == (1, 1)
    assert (whole(told.rows), whole(told.value)) == (16, 11)
    assert every(Scored, replies(scene.story.effects, john)) == []
    assert scene.open == ()


@pytest.mark.parametrize(("every_releases", "wanted"), [(1, [1, 2, 3]), (2, [2, 3]), (9, [3])])
def test_scores_come_every_so_many_releases_and_for_the_last(
    every_releases: int, wanted: list[int]
) -> None:
    scene = Scene(granted(every_releases), rounds=3)
    while not scene.story.state.finished:
        scene.round()
    while scene.open:
        assert scene.open[0].boot == scene.trainer.boot, "leased although the job is finished"
        scene.score()
    assert [one.release for one in scene.scores] == wanted


def test_no_release_is_evaluated_without_a_grant() -> None:
    scene = Scene(replace(granted(), disclosure=POLICY.disclosure))
    while not scene.story.state.finished:
        scene.round()
    assert every(EvaluateTask, tasks(scene.story.effects)) == []
    assert scene.story.state.disclosed == {}


def test_task_names_release_recipe_and_shards_with_their_keys() -> None:
    scene = Scene(rounds=1)
    task = only(EvaluateTask, tasks(scene.round()))
    version = scene.story.state.version
    assert version is not None
    assert (task.release, task.state.ref) == (1, version.ref)
    keys = [scene.mary.keys.shard("held-out", number) for number in (0, 1)]
    assert [one.key for one in task.shards] == keys
    assert [one.rows for one in task.shards] == [7, 9]


def test_shards_that_come_behind_a_release_are_in_the_next() -> None:
    policy = granted(kind=Kind.OPEN, window=1, max_wait=60, owner_slots=1)
    open_ended = replace(policy.schedule, data_sets=())
    story = Story(replace(policy, schedule=open_ended))
    story.imported()
    story.hold_out(MARY, [7])
    story.publish(MARY, [10, 10, 10, 10], fin=False)
    trainer = story.join()
    for _ in range(2):
        story.train(trainer)
        story.merge()
        story.hold_out(MARY, [4], "more")
    first, second = story.state.evaluations
    assert [one.name for one in first.shards] == ["held-out"]
    assert [one.name for one in second.shards] == ["held-out", "more"]


def test_rows_held_out_are_in_no_slot() -> None:
    scene = Scene()
    used = []
    while not scene.story.state.finished:
        used += [one.name for slot in scene.story.slots for one in slot.shards]
        scene.round()
    assert set(used) == {"icu"}


def test_rows_held_out_are_counted_apart_from_those_that_wait_to_be_trained() -> None:
    scene = Scene(rounds=3)
    assert (scene.story.state.held, scene.story.state.count(ShardStatus.ACCEPTED)) == (2, 7)
    scene.round()
    scene.round()
    scene.story.tell(scene.trainer.reports_that(unscored(scene.open[0], Outcome.PARKED, 1)))
    assert scene.story.state.held == 1
    while not scene.story.state.finished:
        scene.round()
    state = scene.story.state
    assert (state.held, state.count(ShardStatus.ACCEPTED)) == (1, 1), "nothing waits to be trained"


def test_bits_of_a_score_are_charged_with_its_release() -> None:
    scene = Scene(rounds=1)
    certify = only(Certify, scene.round())
    assert scene.story.state.disclosed == {MARY.public: (16).bit_length()}
    assert (certify.checkpoint.scored, certify.checkpoint.disclosed) == (1, 0)
    scene.score()
    assert whole(scene.scores[0].left) == 1000 - (16).bit_length()


def test_score_of_a_target_is_charged_seventeen_bits() -> None:
    scene = Scene(replace(granted(), schema=REGRESSION), rounds=1)
    scene.round()
    assert scene.story.state.disclosed == {MARY.public: 17}


def test_ceiling_ends_an_owner_s_scores_and_nothing_is_refunded() -> None:
    scene = Scene(granted(ceiling=9), rounds=4)
    scene.round()
    scene.round()
    (one,) = scene.open
    scene.story.tell(scene.trainer.reports_that(unscored(one, Outcome.VOID, 0)))
    while not scene.story.state.finished:
        scene.round()
    assert scene.story.state.disclosed == {MARY.public: 5 + 4}, "a second time on nine rows"
    assert [one.release for one in scene.scores] + [one.release for one in scene.open] == [1, 3]


def test_training_goes_first_and_evaluation_waits_for_a_trainer_that_is_idle() -> None:
    scene = Scene(rounds=3)
    effects = scene.round()
    assert [type(one) for one in tasks(effects)] == [SlotTask]
    second = scene.story.join()
    assert scene.open[0].boot == second.boot


def test_evaluation_that_waited_for_a_round_goes_before_the_next_slots() -> None:
    scene = Scene(rounds=4)
    scene.round()
    assert scene.open[0].boot is None
    effects = scene.round()
    assert [type(one) for one in tasks(effects)] == [EvaluateTask]
    assert scene.story.slots[0].boot is None
    assert [type(one) for one in tasks(scene.score())] == [SlotTask]


def test_trainer_is_not_lent_between_a_round_s_last_result_and_its_merge() -> None:
    scene = Scene(rounds=3)
    scene.round()
    assert evaluations(scene.story.train(scene.trainer)) == []


def test_lost_trainer_s_evaluation_is_leased_again() -> None:
    scene = Scene(rounds=1)
    scene.round()
    second = scene.story.join()
    effects = scene.story.tell(Lost(scene.trainer.boot, "silent"))
    assert only(EvaluateTask, tasks(effects)).task == scene.open[0].task
    assert scene.open[0].boot == second.boot
    scene.score(second)
    assert len(scene.scores) == 1


def test_late_result_of_the_lost_trainer_counts_once() -> None:
    scene = Scene(rounds=1)
    scene.round()
    second = scene.story.join()
    scene.story.tell(Lost(scene.trainer.boot, "silent"))
    one = scene.open[0]
    scene.score(scene.trainer, 5)
    scene.story.tell(second.reports_that(scored(one, 6)))
    assert [whole(told.value) for told in scene.scores] == [5]


def test_trainer_that_leaves_is_no_failure() -> None:
    scene = Scene(rounds=1)
    scene.round()
    scene.story.tell(scene.trainer.leaves())
    assert (scene.open[0].boot, scene.open[0].failures) == (None, 0)


def test_boot_that_never_held_an_evaluation_is_quarantined() -> None:
    scene = Scene(rounds=1)
    scene.round()
    second = scene.story.join()
    scene.score(second)
    assert scene.story.state.workers[second.boot].quarantined
    assert scene.scores == []


@pytest.mark.parametrize(
    "parts", [{"rows": 15}, {"value": fixed(17)}, {"numerics": "class-b"}], ids=str
)
def test_score_that_cannot_be_is_refused_and_its_trainer_goes(parts: dict[str, Any]) -> None:
    scene = Scene(rounds=1)
    scene.round()
    scene.story.tell(scene.trainer.reports_that(replace(scored(scene.open[0]), **parts)))
    assert scene.story.state.workers[scene.trainer.boot].quarantined
    assert scene.scores == []
    assert len(scene.open) == 1


def test_invalid_shard_is_void_and_left_out_and_its_owner_told() -> None:
    scene = Scene(rounds=1)
    scene.round()
    task = scene.open[0].task
    effects = scene.story.tell(scene.trainer.reports_that(unscored(scene.open[0], Outcome.VOID, 0)))
    assert only(ShardVoid, replies(effects, scene.mary)).number == 0
    (again,) = evaluations(effects)
    assert again.task != task
    assert [one.number for one in again.shards] == [1]
    scene.score()
    assert whole(scene.scores[0].rows) == 9


def test_missing_shard_is_parked_left_out_and_in_again_when_it_is_sent_again() -> None:
    scene = Scene(rounds=3)
    scene.round()
    scene.round()
    (first, later) = scene.open
    effects = scene.story.tell(scene.trainer.reports_that(unscored(first, Outcome.PARKED, 1)))
    assert only(ShardParked, replies(effects, scene.mary)).shard.number == 1
    assert [len(one.shards) for one in scene.open] == [1, 1], "left out of the later one too"
    again = announcement(1, 9, digest=digest((MARY.name, "held-out", 1)), use=Use.EVALUATE)
    scene.story.tell(scene.mary.says(again))
    assert [len(one.shards) for one in scene.open] == [1, 1]
    assert later.release == 2
    while len(scene.open) > 0 and not scene.story.state.finished:
        holder = scene.open[0].boot
        scene.score() if holder else scene.round()
    newest = scene.story.state.holdout[MARY.public]
    assert {scene.story.state.shard(one).status for one in newest} == {ShardStatus.ACCEPTED}


def test_parked_shard_for_evaluation_does_not_hold_up_a_closed_job() -> None:
    scene = Scene(rounds=2)
    scene.round()
    second = scene.story.join()
    scene.story.tell(second.reports_that(unscored(scene.open[0], Outcome.PARKED, 0, 1)))
    state = scene.story.state
    assert (state.count(ShardStatus.PARKED), state.aside) == (2, 2)
    assert waiting_for(scene.story.context, state) == ""
    scene.round()
    assert scene.story.state.finished


def test_evaluation_of_nothing_ends_without_a_score() -> None:
    scene = Scene(rounds=1)
    scene.round()
    scene.story.tell(scene.trainer.reports_that(unscored(scene.open[0], Outcome.VOID, 0, 1)))
    assert scene.open == ()
    assert scene.scores == []


def test_evaluation_that_brings_trainers_down_is_held_back_then_parked() -> None:
    scene = Scene(rounds=1)
    scene.round()
    worker = scene.trainer
    for failure in range(1, MOST_FAILURES + 1):
        assert scene.open[0].boot == worker.boot
        scene.story.tell(Lost(worker.boot, "silent"))
        worker = scene.story.join()
        if failure == MOST_FAILURES:
            break
        assert scene.open[0].held == (failure > 1)
        scene.story.tell(Retried(scene.open[0].task))
    assert scene.open == ()
    parked = every(ShardParked, replies(scene.story.effects, scene.mary))
    assert [one.shard.reason for one in parked] == ["TRAINERS_FAILED"] * 2


def test_finding_without_a_place_is_a_failure_of_the_lease() -> None:
    scene = Scene(rounds=1)
    scene.round()
    scene.story.tell(scene.trainer.reports_that(unscored(scene.open[0], Outcome.VOID, 99)))
    assert (scene.open[0].failures, len(scene.open[0].shards)) == (1, 2)


def test_trainer_that_stands_still_at_an_evaluation_is_lost() -> None:
    scene = Scene(rounds=1)
    scene.round()
    presence = Presence(2.0)
    assert list(presence.lost(scene.story.state, 0.0)) == []
    lost = Lost(scene.trainer.boot, "no-progress")
    assert list(presence.lost(scene.story.state, 3.0)) == [lost]


def test_scores_are_told_again_to_an_owner_that_listens_later() -> None:
    scene = Scene(rounds=1)
    scene.round()
    scene.score()
    later = scene.story.listen(MARY)
    assert every(Scored, replies(scene.story.effects, later)) == scene.scores


def refusals(story: Story, member: Member, body: Any) -> list[str]:
    story.tell(member.says(body))
    (answer,) = replies(story.tell(Acknowledging()), member)
    return [one.code for one in answer.refusals]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("first", "second"), [(Use.EVALUATE, Use.TRAIN), (Use.TRAIN, Use.EVALUATE)]
)
def test_parked_shard_cannot_change_its_use(first: Use, second: Use) -> None:
    story = Story()
    member = story.open(MARY)
    story.tell(member.says(announcement(0, use=first)))
    shard = story.state.shard(ShardId(MARY.public, "icu", 0))
    story.state.mark(shard, ShardStatus.PARKED)
    assert refusals(story, member, announcement(0, use=second)) == ["USE"]
    assert refusals(story, member, announcement(0, use=first)) == []
    assert story.state.aside == 0


def test_shards_for_evaluation_of_one_owner_are_bounded() -> None:
    story = Story()
    member = story.open(MARY)
    story.state.holdout[MARY.public] = (ShardId(MARY.public, "held-out", 0),) * OWNER_SHARDS
    assert refusals(story, member, announcement(0, use=Use.EVALUATE)) == ["HOLDOUT"]
    assert refusals(story, member, announcement(0)) == []


def test_scores_change_nothing_of_what_is_trained() -> None:
    commitments = []
    for policy in (granted(), replace(granted(), disclosure=POLICY.disclosure)):
        scene = Scene(policy, rounds=3)
        story, trainer = scene.story, scene.trainer
        while not story.state.finished:
            if scene.open and scene.open[0].boot == trainer.boot:
                scene.score()
                continue
            (slot,) = story.slots
            story.tell(trainer.reports_that(trained(slot)))
            story.merge()
        found = [one.checkpoint for one in every(Certify, story.effects)]
        commitments.append([(one.commitment, one.root) for one in found])
    assert len(commitments[0]) == 3
    assert [one for one, _ in commitments[0]] == [one for one, _ in commitments[1]]
