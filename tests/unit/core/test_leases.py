"""Leases: to a live trainer and to nobody else; results come once, findings make new tasks."""

from __future__ import annotations

import pytest

from chiron_stream.errors import TamperDetected
from chiron_stream.wire.replies import ShardParked, ShardVoid
from chiron_stream.wire.tasks import SlotTask
from chiron_stream.wire.workers import Outcome
from enclave_workers.core.coordinator.effects import Effect, Tell, WelcomeTo
from enclave_workers.core.coordinator.events import (
    Activated,
    Lost,
    MergeFailed,
    Retried,
    Welcomed,
)
from enclave_workers.core.coordinator.joining import read_reported
from enclave_workers.core.coordinator.leasing import backoff
from enclave_workers.core.coordinator.planning import waiting_for
from enclave_workers.core.coordinator.state import MergeEffect, ShardStatus, Slot
from tests.unit.core.story import (
    COORDINATOR,
    Story,
    Worker,
    announcement,
    digest,
    every,
    faulty,
    only,
    replies,
    running,
    tampered,
    tasks,
    trained,
    with_schedule,
)
from tests.unit.job.builders import JOHN, MARY

ONE_SLOT = with_schedule(slots=1)


def one_slot() -> tuple[Story, Worker, Slot]:
    """Return a job with one leased slot of two of Mary's shards, and one of John's behind."""
    story, trainer = running(ONE_SLOT, mary=[10, 20], john=[10])
    (slot,) = story.slots
    if slot.shards[0].owner != MARY.public:
        story.train(trainer)
        story.merge()
        (slot,) = story.slots
    return story, trainer, slot


def twice_leased() -> tuple[Story, Worker, Worker, Slot]:
    """Return a job whose first slot was leased to a trainer that was lost, then to another."""
    story, first = running()
    slot = story.slots[0]
    story.tell(Lost(first.boot, "silent"))
    second = story.join()
    assert story.slots[0].boot == second.boot
    return story, first, second, slot


def test_worker_that_joins_is_welcomed_with_its_secret() -> None:
    story = Story()
    worker = Worker(story.context, "trainer")
    welcome = only(WelcomeTo, story.tell(worker.joins()))
    assert (welcome.boot, welcome.akd, welcome.secret) == (
        worker.boot,
        worker.akd_hash,
        worker.secret,
    )


def test_boot_that_joined_before_is_left_as_it_is() -> None:
    story = Story()
    worker = story.join()
    before = story.state.pack()
    worker.secret = bytes(32)
    assert story.tell(worker.joins()) == []
    assert story.state.pack() == before


def test_slots_are_leased_to_idle_trainers_one_each() -> None:
    story, first = running()
    assert [one.boot for one in story.slots] == [first.boot, None]
    second = story.join()
    assert [one.boot for one in story.slots] == [first.boot, second.boot]
    third = story.join()
    assert third.boot not in [one.boot for one in story.slots]


def test_predictors_get_no_lease() -> None:
    story = Story()
    story.imported()
    story.whole()
    story.join("predictor")
    assert [one.boot for one in story.slots] == [None, None]


def test_lost_trainer_s_lease_goes_to_another_and_never_to_itself() -> None:
    story, first, slot = one_slot()
    story.tell(Lost(first.boot, "silent"))
    assert [one.boot for one in story.slots] == [None]
    second = Worker(story.context, "trainer")
    story.tell(second.joins())
    assert [one.boot for one in story.slots] == [None], "it has not said what it computes in"
    effects = story.tell(second.ready())
    assert [one.boot for one in story.slots] == [second.boot]
    assert only(SlotTask, tasks(effects)).task == slot.task


def test_lost_trainer_s_late_result_still_counts() -> None:
    story, first, slot = one_slot()
    story.tell(Lost(first.boot, "silent"))
    story.tell(first.reports_that(trained(slot)))
    assert only(MergeEffect, story.state.open_effects).results[0].digest == digest(slot.task)


def test_lost_trainer_that_is_welcomed_again_gets_leases_again() -> None:
    story, first, _ = one_slot()
    story.tell(Lost(first.boot, "silent"))
    effects = story.tell(Welcomed(first.boot, first.secret))
    assert only(WelcomeTo, effects).secret == first.secret
    assert story.slots[0].boot == first.boot


def test_second_result_that_is_equal_is_ignored() -> None:
    story, first, second, slot = twice_leased()
    story.tell(second.reports_that(trained(slot)))
    story.tell(first.reports_that(trained(slot)))
    assert not story.state.workers[first.boot].quarantined
    assert story.slots[0].result == trained(slot)
    assert story.state.diverged == 0


def test_second_result_that_differs_quarantines_the_later_boot() -> None:
    story, first, second, slot = twice_leased()
    story.tell(second.reports_that(trained(slot)))
    story.tell(first.reports_that(trained(slot, digest=digest("diverged"))))
    assert story.slots[0].result == trained(slot)
    assert story.state.workers[first.boot].quarantined
    assert (story.state.diverged, story.slots[1].boot) == (1, second.boot)


def test_late_result_of_the_round_before_is_compared_too() -> None:
    story, first, second, slot = twice_leased()
    story.train(second)
    story.merge()
    story.tell(first.reports_that(trained(slot)))
    assert not story.state.workers[first.boot].quarantined
    story.tell(first.reports_that(faulty(slot, Outcome.PARKED, 0)))
    assert not story.state.workers[first.boot].quarantined, "a late fault says nothing"
    story.tell(first.reports_that(trained(slot, digest=digest("diverged"))))
    assert story.state.workers[first.boot].quarantined
    assert story.state.diverged == 1


def test_result_of_a_task_that_the_boot_never_held_is_not_taken() -> None:
    story, first = running()
    slot = story.slots[0]
    second = story.join()
    assert slot.boot == first.boot
    story.tell(second.reports_that(trained(slot)))
    assert story.slots[0].result is None
    assert story.state.workers[second.boot].quarantined


@pytest.mark.parametrize("parts", [{"rows": 1}, {"steps": 1}, {"steps": 3}], ids=str)
def test_result_of_other_rows_or_steps_is_refused_with_its_boot(parts: dict[str, int]) -> None:
    story, first, slot = one_slot()
    assert (trained(slot).rows, trained(slot).steps) == (30, 2)
    story.tell(first.reports_that(trained(slot, **parts)))
    assert story.slots[0].result is None
    assert story.state.workers[first.boot].quarantined


def test_slot_is_held_back_behind_its_second_failure_until_the_timer() -> None:
    story, first, slot = one_slot()
    for _ in range(2):
        assert story.slots[0].boot == first.boot
        story.tell(Lost(first.boot, "silent"))
        story.tell(Welcomed(first.boot, first.secret))
    assert (story.slots[0].boot, story.slots[0].held) == (None, True)
    story.tell(Retried(digest("another task")))
    assert story.slots[0].held
    effects = story.tell(Retried(slot.task))
    assert only(SlotTask, tasks(effects)).task == slot.task
    assert story.slots[0].boot == first.boot


def test_back_off_grows_from_one_second_to_half_a_minute() -> None:
    assert [backoff(n) for n in (0, 1, 2, 3, 4, 10)] == [0, 0, 1, 2, 4, 30]


def test_slot_whose_trainers_fail_ten_times_is_parked_whole() -> None:
    story, trainer, slot = one_slot()
    effects: list[Effect] = []
    for failure in range(1, 11):
        effects = story.tell(Lost(trainer.boot, "silent"))
        story.tell(Welcomed(trainer.boot, trainer.secret))
        story.tell(Retried(slot.task))
        assert (story.slots[0].boot is None) == (failure == 10)
    assert story.state.count(ShardStatus.PARKED) == 2
    reasons = [one.shard.reason for one in replies(effects) if isinstance(one, ShardParked)]
    assert reasons == ["TRAINERS_FAILED"] * 2


def test_trainer_that_leaves_gives_its_slot_up_at_once_and_as_no_failure() -> None:
    story, first, slot = one_slot()
    second = story.join()
    effects = story.tell(first.leaves())
    assert only(SlotTask, tasks(effects)).task == slot.task
    assert (story.slots[0].boot, story.slots[0].failures) == (second.boot, 0)
    story.tell(Welcomed(first.boot, first.secret))
    assert story.state.live("trainer") == [second.boot]


def test_trainer_of_another_numerics_class_is_leased_nothing() -> None:
    story, first, _ = one_slot()
    story.train(first)
    story.merge()
    story.tell(Lost(first.boot, "silent"))
    other = Worker(story.context, "trainer")
    story.tell(other.joins())
    story.tell(other.ready("class-b"))
    assert [slot.boot for slot in story.slots] == [None]
    assert waiting_for(story.context, story.state) == "numerics-class"
    assert not story.state.workers[other.boot].quarantined
    third = story.join()
    assert [slot.boot for slot in story.slots] == [third.boot]


def test_quarantined_boot_is_not_welcomed_back() -> None:
    story, first, second, slot = twice_leased()
    story.tell(second.reports_that(trained(slot)))
    story.tell(first.reports_that(trained(slot, digest=digest("diverged"))))
    story.tell(Welcomed(first.boot, first.secret))
    assert story.state.live("trainer") == [second.boot]


def test_result_of_another_numerics_class_is_refused_with_its_boot() -> None:
    story, first = running()
    second = story.join()
    assert story.slots[1].boot == second.boot
    story.tell(first.reports_that(trained(story.slots[0])))
    story.tell(second.reports_that(trained(story.slots[1], numerics="class-b")))
    assert story.slots[1].result is None
    assert story.state.workers[second.boot].quarantined
    assert story.state.numerics == "class-a"


def test_result_without_an_update_is_refused_with_its_boot() -> None:
    story, first, slot = one_slot()
    story.tell(first.reports_that(trained(slot, update=None)))
    assert story.slots[0].result is None
    assert story.state.workers[first.boot].quarantined


def test_result_of_no_slot_at_hand_is_ignored() -> None:
    story, first, slot = one_slot()
    before = story.slots
    story.tell(first.reports_that(trained(slot, task=digest("other"))))
    assert story.slots == before


def test_void_shard_is_left_out_and_the_slot_leased_as_a_new_task() -> None:
    story, trainer, slot = one_slot()
    effects = story.tell(trainer.reports_that(faulty(slot, Outcome.VOID, 0, reason="NaN")))
    void = slot.shards[0]
    assert ShardVoid(void.number, "NaN") in replies(effects)
    assert story.state.shard(void).status is ShardStatus.VOID
    (revised,) = story.slots
    assert revised.shards == slot.shards[1:]
    assert revised.task != slot.task
    assert (revised.number, revised.seed) == (slot.number, slot.seed)
    assert only(SlotTask, tasks(effects)).task == revised.task


def test_slot_of_void_shards_alone_drops_out_and_the_job_goes_on() -> None:
    story, trainer, slot = one_slot()
    number = story.state.rounds
    story.tell(trainer.reports_that(faulty(slot, Outcome.VOID, 0, 1)))
    assert story.state.rounds == number + 1
    story.finish(trainer)
    assert story.state.count(ShardStatus.VOID) == 2


def test_result_of_the_task_before_a_finding_does_not_count() -> None:
    story, trainer, slot = one_slot()
    story.tell(trainer.reports_that(faulty(slot, Outcome.VOID, 0)))
    story.tell(trainer.reports_that(trained(slot)))
    assert story.slots[0].result is None


def test_parked_shard_makes_its_slot_wait_and_its_publisher_is_told() -> None:
    story, trainer, slot = one_slot()
    effects = story.tell(trainer.reports_that(faulty(slot, Outcome.PARKED, 1)))
    parked = only(ShardParked, replies(effects)).shard
    number = slot.shards[1].number
    assert (parked.number, parked.token) == (number, b"token %d" % number)
    assert every(Tell, effects) == []
    assert (story.slots[0].boot, story.slots[0].shards) == (None, slot.shards)


def test_parked_shard_announced_again_byte_for_byte_resumes_under_a_new_task() -> None:
    story = Story(ONE_SLOT)
    story.imported()
    mary, _ = story.publish(MARY, [10, 10]), story.publish(JOHN, [])
    trainer = story.join()
    (slot,) = story.slots
    story.tell(trainer.reports_that(faulty(slot, Outcome.PARKED, 0)))
    number = slot.shards[0].number
    same = announcement(number, digest=digest(f"{MARY.name} {number + 1}"))
    task = only(SlotTask, tasks(story.tell(mary.says(same))))
    assert task.task != slot.task
    assert {one.number for one in task.shards} == {0, 1}


def test_reasons_in_any_script_fit_into_state_and_replies() -> None:
    story, trainer, slot = one_slot()
    story.tell(trainer.reports_that(faulty(slot, Outcome.PARKED, 0, reason="ä" * 150)))
    story.state.pack()
    assert story.state.shard(slot.shards[0]).reason == "ä" * 64


def test_update_that_does_not_read_sends_its_slot_back() -> None:
    story, trainer, slot = one_slot()
    story.train(trainer)
    assert story.state.open_effects
    effects = story.tell(MergeFailed(story.state.rounds, 0, "CHUNK_MISSING"))
    assert story.state.open_effects == ()
    assert only(SlotTask, tasks(effects)).task == slot.task


def test_successor_keeps_open_leases_and_gives_new_ones_after_its_welcome() -> None:
    story, trainer = running()
    story.tell(Activated(2, COORDINATOR))
    assert story.slots[0].boot == trainer.boot
    second = Worker(story.context, "trainer")
    second.epoch = 2
    story.tell(second.joins())
    story.tell(second.ready())
    assert story.slots[1].boot == second.boot
    story.tell(trainer.reports_that(trained(story.slots[0])))
    assert story.slots[0].result is not None


def report_refusal(story: Story, record: bytes) -> str:
    with pytest.raises(TamperDetected) as refused:
        read_reported(story.context, story.state, record)
    return refused.value.code


def test_report_of_no_boot_is_refused() -> None:
    story, _, slot = one_slot()
    stranger = Worker(story.context, "trainer")
    assert report_refusal(story, stranger.record(trained(slot))) == "UNKNOWN_BOOT"


def test_report_of_an_epoch_without_a_welcome_is_refused() -> None:
    story, trainer, slot = one_slot()
    trainer.epoch = 2
    assert report_refusal(story, trainer.record(trained(slot))) == "UNKNOWN_BOOT"


def test_report_that_was_taken_before_is_a_repeat() -> None:
    story, trainer, slot = one_slot()
    event = trainer.reports_that(trained(slot, task=digest("other")))
    story.tell(event)
    assert report_refusal(story, event.record) == "REPEAT"


def test_report_under_another_boot_s_key_is_refused() -> None:
    story, trainer, slot = one_slot()
    forger = Worker(story.context, "trainer")
    forger.boot, forger.secret = trainer.boot, trainer.secret
    forger.reports = trainer.reports
    assert report_refusal(story, forger.record(trained(slot))) == "SIGNATURE"
    assert read_reported(story.context, story.state, trainer.record(trained(slot)))


def test_altered_report_is_refused() -> None:
    story, trainer, slot = one_slot()
    record = trainer.record(trained(slot))
    assert report_refusal(story, tampered(record, len(record) - 100)) == "SIGNATURE"
