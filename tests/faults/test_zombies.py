"""A writer that was stopped, overtaken and continued; and writers that race."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.faults.conftest import Spawn, Stage, dice
from tests.faults.judging import judge, wait_until
from tests.faults.processes import WriterProcess

pytestmark = [pytest.mark.faults, pytest.mark.kafka]

RACERS = 4


def assert_fenced(writer: WriterProcess) -> None:
    """The writer has ended as one that has a successor."""
    ended = writer.wait_for("ended")
    assert (ended["error"], ended["code"]) == ("Fenced", "FENCED"), writer


def commit_undisturbed(successor: WriterProcess, count: int) -> None:
    """Let ``count`` more transactions be committed by a writer that is running."""
    successor.wait_for("committed", nth=count, since=successor.mark)
    successor.pause()


@pytest.mark.parametrize("sent", [4, 2], ids=["commit", "send-and-commit"])
def test_continued_zombie_ends_fenced_and_leaves_no_trace(
    stage: Stage, spawn: Spawn, sent: int, record_property: Callable[[str, object], None]
) -> None:
    zombie, successor = spawn(stage.options("zombie")), spawn(stage.options("successor"))
    zombie.start()
    zombie.tell("open", records=4, sent=sent)
    stopped_in = zombie.wait_for("open")["transaction"]
    zombie.freeze()
    record_property("takeover_seconds", successor.start()["seconds"])
    successor.tell("run")
    zombie.tell("commit")
    zombie.thaw()
    assert_fenced(zombie)
    commit_undisturbed(successor, 50)
    assert zombie.alive
    assert (zombie.end(), successor.end()) == (9, 0)
    assert stopped_in not in judge(stage.settled(), [zombie, successor]).visible["zombie"]


def test_without_a_successor_the_continued_writer_commits(stage: Stage, spawn: Spawn) -> None:
    writer = spawn(stage.options("writer"))
    writer.start()
    writer.tell("open", records=4, sent=2)
    stopped_in = writer.wait_for("open")["transaction"]
    writer.freeze()
    writer.tell("commit")
    writer.thaw()
    writer.wait_for("committed", nth=2)
    assert writer.end() == 0
    assert stopped_in in judge(stage.settled(), [writer]).visible["writer"]


@pytest.mark.parametrize("seed", range(4))
def test_writer_stopped_anywhere_is_fenced_when_continued(
    stage: Stage, spawn: Spawn, seed: int, record_property: Callable[[str, object], None]
) -> None:
    chance = dice(seed)
    zombie = spawn(stage.options("zombie", seed=seed))
    successor = spawn(stage.options("successor", seed=seed + 1))
    zombie.start()
    zombie.tell("run")
    zombie.wait_for(chance.choice(["attempt", "committing"]), nth=chance.randint(2, 30))
    zombie.freeze()
    record_property("takeover_seconds", successor.start()["seconds"])
    successor.tell("run")
    zombie.thaw()
    assert_fenced(zombie)
    commit_undisturbed(successor, 50)
    assert zombie.alive, f"seed {seed}"
    assert (zombie.end(), successor.end()) == (9, 0), f"seed {seed}"
    verdict = judge(stage.settled(), [zombie, successor], seed=seed)
    record_property("unanswered_but_there", len(verdict.unanswered["zombie"]))


@pytest.mark.parametrize("seed", range(3))
def test_of_racing_writers_the_last_one_stays_and_all_others_end_fenced(
    stage: Stage, spawn: Spawn, seed: int, record_property: Callable[[str, object], None]
) -> None:
    chance = dice(seed)
    racers = [
        spawn(stage.options(f"racer-{number}", seed=seed + number, patience=30.0))
        for number in range(RACERS)
    ]
    for racer in racers:
        racer.wait_for("ready")
    for racer in racers:
        racer.tell("start")
        racer.tell("run")
        racer.follow(chance.choice([0, chance.randint(1, 40)]))
    wait_until(lambda: sum(racer.over for racer in racers) == RACERS - 1, f"seed {seed}: one left")
    (last,) = (racer for racer in racers if not racer.over)
    others = [racer for racer in racers if racer is not last]
    for racer in others:
        assert_fenced(racer)
    commit_undisturbed(last, 20)
    assert [racer.end() for racer in others] == [9] * (RACERS - 1), f"seed {seed}"
    assert last.end() == 0, f"seed {seed}"
    turns = stage.takeovers()
    assert turns[-1] == last.name, f"seed {seed}: {turns}"
    senders = sorted(racers, key=lambda one: turns.index(one.name) if one.name in turns else 0)
    verdict = judge(stage.settled(), senders, seed=seed)
    record_property("takeovers", len(turns))
    record_property("unanswered_but_there", sum(map(len, verdict.unanswered.values())))
