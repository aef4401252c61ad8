"""Timers: by the shell's clock, and ``step`` learns of them by their events alone."""

from __future__ import annotations

from enclave_workers.core.coordinator.events import Lost, Retried, Waited, Welcomed
from enclave_workers.core.coordinator.timers import Timers
from tests.unit.core.story import Story, Worker, running, with_schedule
from tests.unit.core.test_windows import Stream


def due(timers: Timers, story: Story, now: float) -> list[Waited | Retried]:
    return list(timers.due(story.state, now))


def test_shard_has_waited_when_its_time_is_up() -> None:
    stream, timers = Stream(), Timers(60)
    assert due(timers, stream.story, 0) == []
    stream.arrive(stream.mary, 10)
    assert due(timers, stream.story, 10) == []
    stream.arrive(stream.mary, 10)
    assert due(timers, stream.story, 40) == []
    assert due(timers, stream.story, 69.9) == []
    assert due(timers, stream.story, 70) == [Waited(1)]
    assert due(timers, stream.story, 100) == [Waited(2)]


def test_nothing_is_said_of_shards_that_were_taken_meanwhile() -> None:
    stream, timers = Stream(slots=1, shards_per_slot=1), Timers(60)
    stream.arrive(stream.mary, 10)
    assert due(timers, stream.story, 0) == []
    stream.round()
    assert due(timers, stream.story, 1000) == []


def test_timer_that_came_is_not_said_again() -> None:
    stream, timers = Stream(), Timers(60)
    stream.arrive(stream.mary, 10)
    due(timers, stream.story, 0)
    (event,) = due(timers, stream.story, 60)
    stream.story.tell(event)
    assert due(timers, stream.story, 61) == []


def test_successor_counts_from_its_own_start() -> None:
    stream = Stream()
    stream.arrive(stream.mary, 10)
    successor = Timers(60)
    assert due(successor, stream.story, 1000) == []
    assert due(successor, stream.story, 1060) == [Waited(1)]


def failed(story: Story, trainer: Worker, times: int) -> None:
    for _ in range(times):
        story.tell(Lost(trainer.boot, "silent"))
        story.tell(Welcomed(trainer.boot, trainer.secret))
        if story.slots[0].failures < times:
            story.tell(Retried(story.slots[0].task))


def test_slot_is_leased_again_when_its_back_off_is_over() -> None:
    story, trainer = running(with_schedule(slots=1))
    failed(story, trainer, 3)
    timers = Timers(0)
    task = story.slots[0].task
    assert due(timers, story, 100) == []
    assert due(timers, story, 101.9) == []
    assert due(timers, story, 102) == [Retried(task)]
    story.tell(Retried(task))
    assert due(timers, story, 103) == []
    assert story.slots[0].boot == trainer.boot


def test_next_failure_starts_its_own_back_off() -> None:
    story, trainer = running(with_schedule(slots=1))
    failed(story, trainer, 2)
    timers = Timers(0)
    assert due(timers, story, 0) == []
    assert due(timers, story, 1) == [Retried(story.slots[0].task)]
    story.tell(Retried(story.slots[0].task))
    story.tell(Lost(trainer.boot, "silent"))
    assert due(timers, story, 2) == []
    assert due(timers, story, 3.9) == []
    assert due(timers, story, 4) == [Retried(story.slots[0].task)]
