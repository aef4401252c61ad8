"""Who is alive: by heartbeats and by progress, by the shell's clock."""

from __future__ import annotations

import pytest

from chiron_stream.errors import TamperDetected
from chiron_stream.wire.workers import Heartbeat, seal_presence
from enclave_workers.core.coordinator.events import Lost, Welcomed
from enclave_workers.core.coordinator.joining import scope
from enclave_workers.core.coordinator.presence import LOST_AFTER, Presence
from tests.unit.core.story import Story, Worker, running, tampered, with_schedule

DEADLINE = 30.0
IDLE = bytes(32)


class Watch:
    """A running job, and the coordinator's view of who is alive."""

    def __init__(self, passes: int = 1) -> None:
        self.story, self.trainer = running(with_schedule(passes=passes))
        self.presence = Presence(DEADLINE)

    def record(self, number: int, task: bytes = IDLE, step: int = 0) -> bytes:
        about = scope(self.story.context, self.trainer.epoch, self.trainer.boot)
        return seal_presence(self.trainer.secret, about, number, Heartbeat(task, step))

    def beat(self, now: float, number: int, task: bytes = IDLE, step: int = 0) -> bytes | None:
        return self.hear(self.record(number, task, step), now)

    def hear(self, record: bytes, now: float) -> bytes | None:
        return self.presence.heard(self.story.context, self.story.state, record, now)

    def lost(self, now: float) -> list[Lost]:
        return list(self.presence.lost(self.story.state, now))


def test_boot_that_beats_is_not_lost() -> None:
    watch = Watch()
    for second in range(20):
        watch.beat(second, second, b"\1" * 32, second)
        assert watch.lost(second + 0.5) == []


def test_boot_that_is_silent_is_lost() -> None:
    watch = Watch()
    watch.beat(0, 0)
    assert watch.lost(LOST_AFTER) == []
    assert watch.lost(LOST_AFTER + 0.1) == [Lost(watch.trainer.boot, "silent")]


def test_boot_that_never_beat_is_lost_in_the_same_time() -> None:
    watch = Watch()
    assert watch.lost(0) == []
    assert watch.lost(LOST_AFTER + 0.1) == [Lost(watch.trainer.boot, "silent")]


def test_leased_boot_without_progress_is_lost() -> None:
    watch = Watch()
    for second in range(int(DEADLINE) + 1):
        watch.beat(second, second, b"\1" * 32, 5)
        assert watch.lost(second) == []
    watch.beat(DEADLINE + 1, 99, b"\1" * 32, 5)
    assert watch.lost(DEADLINE + 1) == [Lost(watch.trainer.boot, "no-progress")]


def test_short_tasks_one_after_another_are_progress() -> None:
    watch = Watch(passes=20)
    boot = watch.trainer.boot
    for second in range(3 * int(DEADLINE)):
        watch.beat(second, second)  # between two tasks each time
        assert watch.lost(second) == []
        if second % 5 == 0:
            watch.story.train(watch.trainer)
            watch.story.merge()
            assert boot in [slot.boot for slot in watch.story.slots]


def test_idle_boot_needs_no_progress() -> None:
    watch = Watch()
    predictor = watch.story.join("predictor")
    watch.trainer = predictor
    for second in range(int(DEADLINE) + 9):
        watch.beat(second, second)
        assert predictor.boot not in [one.boot for one in watch.lost(second)]


def test_replayed_heartbeat_is_no_sign_of_life() -> None:
    watch = Watch()
    record = watch.record(3)
    watch.hear(record, 0)
    with pytest.raises(TamperDetected) as refused:
        watch.hear(record, 5)
    assert refused.value.code == "REPEAT"
    assert watch.lost(LOST_AFTER + 0.1)


def test_forged_heartbeats_are_refused() -> None:
    watch = Watch()
    with pytest.raises(TamperDetected):
        watch.hear(tampered(watch.record(0), -3), 0)
    watch.trainer = Worker(watch.story.context, "trainer")
    with pytest.raises(TamperDetected) as refused:
        watch.beat(0, 0)
    assert refused.value.code == "UNKNOWN_BOOT"


def test_heartbeat_for_a_successor_is_passed_by_and_no_sign_of_life() -> None:
    watch = Watch()
    assert watch.lost(0) == []
    watch.trainer.epoch = watch.story.state.epoch + 1
    assert watch.beat(5, 0) is None
    assert watch.lost(LOST_AFTER + 0.1) == [Lost(watch.trainer.boot, "silent")]


def test_lost_boot_that_beats_again_may_be_welcomed_once_it_is_idle() -> None:
    watch = Watch()
    boot = watch.trainer.boot
    watch.beat(0, 0, b"\1" * 32, 1)
    watch.story.tell(Lost(boot, "silent"))
    assert watch.beat(20, 1, b"\1" * 32, 2) is None
    assert watch.beat(21, 2) == boot
    watch.story.tell(Welcomed(boot, watch.trainer.secret))
    assert watch.lost(22) == []
    assert watch.beat(22, 3) is None


def test_boot_that_is_welcomed_again_has_its_whole_deadline_before_it() -> None:
    watch = Watch()
    boot = watch.trainer.boot
    for second in range(int(DEADLINE) + 1):
        watch.beat(second, second)
        assert watch.lost(second) == []
    watch.beat(40, 40)
    (lost,) = watch.lost(40)
    watch.story.tell(lost)
    assert watch.beat(41, 41) == boot
    watch.story.tell(Welcomed(boot, watch.trainer.secret))
    assert watch.lost(41) == []
    assert boot in [slot.boot for slot in watch.story.slots]


def test_quarantined_boot_is_never_offered_for_a_welcome() -> None:
    watch = Watch()
    watch.story.state.quarantine(watch.trainer.boot)
    assert watch.beat(1, 0) is None


def test_story_of_its_own_has_nobody_to_lose() -> None:
    assert list(Presence(DEADLINE).lost(Story().state, 100)) == []
