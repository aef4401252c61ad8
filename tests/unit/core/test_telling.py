"""What a trainer or predictor tells its courier of itself: that it moves, and not how fast."""

from __future__ import annotations

import pytest

from chiron_stream.wire.courier import Progress
from enclave_workers.core.link import Link
from enclave_workers.core.telling import PARTS, Telling

DEADLINE = 40
EVERY = DEADLINE // PARTS


class Ear(Link):
    """A link that keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[Progress] = []

    def progress(self, progress: Progress) -> None:
        self.told.append(progress)


@pytest.fixture
def ear() -> Ear:
    return Ear()


@pytest.fixture
def telling(ear: Ear) -> Telling:
    return Telling(ear, DEADLINE)


def test_state_is_told_when_it_changes(telling: Telling, ear: Ear) -> None:
    for state in ("joining", "joining", "ready", "ready"):
        telling.be(state)
    assert ear.told == [Progress("joining", waiting_for="coordinator"), Progress("ready")]


def test_task_is_told_at_its_begin_and_its_end(telling: Telling, ear: Ear) -> None:
    telling.be("ready")
    telling.begin()
    telling.end()
    telling.begin()
    assert ear.told[1:] == [
        Progress("ready", tasks=1, busy=True),
        Progress("ready", tasks=1),
        Progress("ready", tasks=2, busy=True),
    ]


@pytest.mark.parametrize("steps_a_beat", [1, 7, 400])
def test_number_of_times_that_a_task_moves_does_not_tell_its_steps(
    telling: Telling, ear: Ear, steps_a_beat: int
) -> None:
    """As many rows take as many steps; what is told depends on the time alone."""
    telling.begin()
    ear.told.clear()
    for beat in range(DEADLINE + 1):
        for _ in range(steps_a_beat):
            telling.move(beat)
    assert ear.told == [Progress("ready", tasks=1, busy=True)] * PARTS


def test_slow_steps_are_told_no_oftener_than_they_come(telling: Telling, ear: Ear) -> None:
    telling.begin()
    ear.told.clear()
    for beat in (0, 25, 50, 75):
        telling.move(beat)
    assert len(ear.told) == 3


def test_task_that_stands_still_says_nothing(telling: Telling, ear: Ear) -> None:
    telling.begin()
    assert len(ear.told) == 1


def test_nothing_moves_without_a_task(telling: Telling, ear: Ear) -> None:
    telling.be("ready")
    telling.move(EVERY * 5)
    assert len(ear.told) == 1


def test_shortest_deadline_has_a_word_each_beat(ear: Ear) -> None:
    hasty = Telling(ear, 1)
    hasty.begin()
    ear.told.clear()
    for beat in range(4):
        hasty.move(beat)
    assert len(ear.told) == 3
