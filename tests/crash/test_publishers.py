"""Publishers that die: ``chiron publish`` of a file of 100 shards, killed and started again.

However often it was killed, and wherever, every row of the file is used exactly once a pass. What
is judged is what the job did against each sender's own list: the auditor's plans, a receipt for
every shard, nothing on ``rejected``, and the trained parameters, which plain PyTorch comes to bit
for bit over the sender's own rows. The controls are publishers that go on at another row.

``pytest tests/crash -k 'killed_publisher and 1'`` plays a seed again; the kills are printed.
"""

from __future__ import annotations

import random
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from typing import Final

import pytest

from chiron_stream.broker.local import LocalKafka
from chiron_stream.local.directory import JobDirectory
from chiron_stream.recipe import Recipe
from chiron_stream.wire.receipts import Rejected
from tests.crash.accounts import Account, account, findings
from tests.crash.publishers import Moment, Publisher, moments
from tests.crash.publishing import Publishing, Stage
from tests.crash.senders import RECORDS_PER_SHARD, ROWS, ROWS_PER_SHARD, SHARDS
from tests.jobs import jobs
from tests.kafka.processes import carrying, eventually

pytestmark = [pytest.mark.kafka, pytest.mark.faults, pytest.mark.timeout(600)]

SEEDS: Final = 3
PASSES: Final = 2
NOTHING_LEFT: Final = f"{ROWS} rows were accepted before\nparcels: nothing left to send\n"
OTHER_BITS: Final = "the parameters are not plain PyTorch's"

NewStage = Callable[..., Stage]


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return jobs.export()


@pytest.fixture
def new_stage(
    kafka: LocalKafka, recipe: Recipe, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[NewStage]:
    """Start jobs of named senders, with a recipe; nothing outlives the test."""
    top = tmp_path_factory.mktemp("p")
    with ExitStack() as stack:

        def make(*names: str, passes: int = 1) -> Stage:
            stage = stack.enter_context(Stage(top, kafka.bootstrap_servers, names, passes))
            stage.provide(recipe)
            return stage

        yield make
    assert carrying(str(top)) == []


def judged(stage: Stage, one: Publishing) -> list[str]:
    """Let a job come to its end; return what is wrong with it."""
    stage.finish()
    return findings(account(stage, one.log))


# killed -9


@pytest.mark.parametrize("seed", range(SEEDS))
def test_killed_publisher_started_again_uses_every_row_exactly_once(
    new_stage: NewStage, seed: int
) -> None:
    dice = random.Random(seed)
    stage = new_stage("steady", "alice", "anna", passes=PASSES)
    stage.measure("steady")
    both = [stage.publishing(name) for name in ("alice", "anna")]
    planned = [moments(dice, "all"), moments(dice, "fin")]
    with ThreadPoolExecutor(len(both)) as pool:
        list(pool.map(publish_through, both, planned))
    assert judged(stage, both[0]) == [], f"seed {seed}"
    for one in both:
        assert_killed_all_along(one, f"seed {seed}, {one.sender.name}")


def publish_through(one: Publishing, planned: Sequence[Moment]) -> None:
    """Kill at every moment; there are no more once everything has been announced."""
    for moment in planned:
        if one.announced() < SHARDS:
            one.kill(moment)
    one.finish()


def assert_killed_all_along(one: Publishing, about: str) -> None:
    """See that the kills were kills, and where: before the session, midway, at the end."""
    assert {kill.code for kill in one.kills} == {-signal.SIGKILL}, about
    assert one.kills[0].session is one.kills[1].session is None, about
    opened = [kill.session for kill in one.kills if kill.session is not None]
    reached = [one.announced(session) for session in opened]
    assert sum(0 < count < SHARDS for count in reached) >= 2, f"{about}: {reached}"
    assert any(each.records > RECORDS_PER_SHARD * len(each.said) for each in opened), about
    assert reached[-1] == SHARDS, f"{about}: {reached}"


STEPS: Final = (
    (("control", 1, "before"), 0),  # no session
    (("control", 1, "after"), 0),  # a session, and nobody heard that it was admitted
    (("shards", 1, "before"), 0),
    (("shards", 1, "after"), 0),  # between two records of one shard
    (("shards", RECORDS_PER_SHARD, "after"), 0),  # a shard that was never announced
    (("control", 2, "before"), 0),
    (("control", 2, "after"), 1),
    (("control", 2, "after"), 2),
    (("control", 42, "after"), 43),
    (("control", 59, "before"), SHARDS),  # before the fin
    (("control", 2, "after"), SHARDS),  # the fin, and nobody heard that it was taken
)
"""Topic, number of a record in one run, before or after it; shards announced by then."""


def test_publisher_killed_at_each_step_goes_on_behind_what_was_accepted(
    new_stage: NewStage,
) -> None:
    stage = new_stage("alice")
    alice = stage.publishing("alice")
    for step, announced in STEPS:
        alice.die(*step)
        assert alice.announced() == announced, step
    assert alice.finish() == NOTHING_LEFT
    assert judged(stage, alice) == []


# superseded


def test_superseded_publisher_exits_9_and_changes_nothing(new_stage: NewStage) -> None:
    stage = new_stage("alice", "anna", "anya")
    alice, anna, anya = (stage.publishing(name) for name in stage.senders)
    with stage.coordinator_stopped():  # so that admission and successor are heard of at once
        first = stopped_at(Moment("open"), alice)
        second = alice.start()
        alice.reach(Moment("open"), second)
        second.go_on()
    assert second.end() == 0, second.shown
    assert refused_of(alice, first, SHARDS) == SHARDS + 1
    first = stopped_at(Moment("announced", 0.3), anna)
    assert 0 < anna.announced() < SHARDS
    anna.finish()
    refused_of(anna, first, 2 * SHARDS)
    first = stopped_at(Moment("fin"), anya, "--wait", "trained")
    assert anya.finish() == NOTHING_LEFT
    assert refused_of(anya, first, 3 * SHARDS) == 0
    assert judged(stage, anya) == []


def stopped_at(moment: Moment, one: Publishing, *words: str) -> Publisher:
    """Start the command and stop it at a moment."""
    run = one.start(*words)
    one.reach(moment, run)
    assert not run.ended, run.shown
    return run


def accepted_of(directory: JobDirectory) -> int:
    return int(jobs.progress(directory)["accepted"])


def refused_of(one: Publishing, first: Publisher, accepted: int) -> int:
    """Let a superseded publisher go on to its end; return how many of its records were refused.

    :param accepted: shards of all senders by now; there are as many behind its end.
    """
    directory = one.stage.directory
    eventually(lambda: accepted_of(directory) == accepted, f"{accepted} shards are accepted")
    first.go_on()
    assert first.end() == 9, first.shown
    assert "[SUPERSEDED]" in first.shown
    one.log.settle()
    old, new = one.sessions
    late = {offset for offset in old.said if offset > new.opened}
    eventually(
        lambda: late <= {each.offset for each in jobs.rejected(directory.job())},
        "every late record is rejected",
    )
    assert accepted_of(directory) == accepted
    return len(late)


# controls


def resumed_wrongly(one: Publishing, how: str) -> None:
    """Kill a publisher behind its 41st announcement; let another go on, but not there."""
    one.die("control", 42, "after")
    one.finish(command=(sys.executable, "-m", "tests.crash.forgetful", how))


def test_rows_that_are_doubled_or_lost_are_found(new_stage: NewStage) -> None:
    stage = new_stage("alice", "anna", "anya")
    alice, anna, anya = (stage.publishing(name) for name in stage.senders)
    resumed_wrongly(alice, "from-the-start")
    resumed_wrongly(anna, "one-back")
    resumed_wrongly(anya, "one-on")
    assert set(judged(stage, anya)) == {
        f"alice: pass 0: {SHARDS + 41} shards, {ROWS + 41 * ROWS_PER_SHARD} rows",
        f"alice: {SHARDS + 41} receipts",
        f"anna: pass 0: {SHARDS + 1} shards, {ROWS + ROWS_PER_SHARD} rows",
        f"anna: {SHARDS + 1} receipts",
        f"anya: pass 0: {SHARDS - 1} shards, {ROWS - ROWS_PER_SHARD} rows",
        f"anya: {SHARDS - 1} receipts",
        "the plan has other rows than the senders: there are no bits to compare",
    }


def test_rows_in_the_place_of_others_are_found_by_the_bits(new_stage: NewStage) -> None:
    stage = new_stage("alice")
    alice = stage.publishing("alice")
    resumed_wrongly(alice, "doubled")
    assert judged(stage, alice) == [OTHER_BITS]
    assert_judge_sees_receipts_and_rejections(account(stage, alice.log))


def assert_judge_sees_receipts_and_rejections(found: Account) -> None:
    ((owner, receipts),) = found.receipts.items()
    lost = replace(found, receipts={owner: receipts[1:]})
    assert set(findings(lost)) - {OTHER_BITS} == {
        f"alice: {SHARDS - 1} receipts",
        f"{SHARDS} shards on checkpoints, not all of them the senders'",
    }
    last = found.log.sessions(owner)[-1].said[-1]
    refused = Rejected("control", 0, last, "SUPERSEDED", bytes(32), bytes(16))
    assert f"rejected: control at {last}: SUPERSEDED" in findings(
        replace(found, rejected=[refused])
    )
