"""Bridges that are killed: every row of the source is trained on exactly once.

Two clusters: the owner's own, and the job's. ``pytest tests/faults -k 'killed_bridge and 1'`` plays
a seed again; the kills are printed.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Final

import pytest

from chiron_stream.broker.local import LocalKafka
from chiron_stream.broker.records import Partition
from chiron_stream.local.directory import create
from chiron_stream.local.running import RunningJob
from chiron_stream.recipe import Recipe
from tests.faults.bridging import DEAD, Bridging, Source, findings
from tests.faults.commands import LIMIT
from tests.jobs import jobs
from tests.kafka.processes import carrying

pytestmark = [pytest.mark.kafka, pytest.mark.faults, pytest.mark.timeout(400)]

SEEDS: Final = 2
KILLS: Final = 10
ROWS: Final = 30
"""Rows that come before each run: four shards and a rest."""

NewBridging = Callable[[int], Bridging]


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return jobs.export()


@pytest.fixture
def new_bridging(
    kafka: LocalKafka,
    party_kafka: LocalKafka,
    recipe: Recipe,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[NewBridging]:
    """Start a job, and a cluster of the owner's own with a topic; nothing outlives the test."""
    top = tmp_path_factory.mktemp("r")
    with ExitStack() as stack:

        def make(seed: int) -> Bridging:
            terms = jobs.terms(
                owners={"alice": [jobs.DATA_SET]},
                schedule={"shards_per_slot": 20, "passes": 1},
                shard_classes=[[3, 8192]],
            )
            directory = create(top / "job", terms)
            workers = {"coordinator": 1, "trainer": 1}
            servers = kafka.bootstrap_servers
            stack.enter_context(RunningJob(directory, bootstrap_servers=servers, workers=workers))
            with jobs.Parties(directory) as parties:
                parties.provider().publish(recipe)
            source = Source(party_kafka.bootstrap_servers, random.Random(seed))
            stack.enter_context(source)
            return stack.enter_context(Bridging(directory, source, top))

        yield make
    assert carrying(str(top)) == []


def judged(bridging: Bridging) -> list[str]:
    jobs.reaches(bridging.directory, "finished", seconds=LIMIT)
    return findings(bridging)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_killed_bridge_started_again_trains_on_every_row_exactly_once(
    new_bridging: NewBridging, seed: int
) -> None:
    bridging = new_bridging(seed)
    dice = random.Random(1000 + seed)
    for kill in range(KILLS):
        bridging.source.produce(ROWS)
        run = bridging.start()
        shards, later = dice.randint(0, 4), dice.uniform(0.0, 0.15)
        run.reach(shards)
        time.sleep(later)  # a moment of the dice's: whatever is under way then is cut off
        run.kill()
        print(f"kill {kill}: behind {shards} shards and {later:.3f} s: {len(run.said)} shards said")
    bridging.source.produce(ROWS)
    bridging.finish()
    assert judged(bridging) == [], f"seed {seed}"
    numbers = [one.number for run in bridging.runs for one in run.said]
    assert len(set(numbers)) < len(numbers), "some shards were cut off, and made again"
    letters = bridging.source.broker.watermarks(Partition(DEAD, 0)).high
    assert letters >= bridging.source.poison > 0


@pytest.mark.parametrize("how", ["from-the-start", "from-the-end"])
def test_judge_finds_rows_that_a_bridge_without_its_token_doubles_or_loses(
    new_bridging: NewBridging, how: str
) -> None:
    bridging = new_bridging(7)
    bridging.source.produce(ROWS)
    run = bridging.start("--to-the-end")
    assert run.end() == 0, run.log.read_text()
    bridging.source.produce(ROWS)
    bridging.finish(how=how)
    found = judged(bridging)
    used = {"from-the-start": 3 * ROWS, "from-the-end": ROWS}[how]
    assert f"{used} rows of {2 * ROWS}" in found, found


AWAY: Final = 20.0
"""Seconds without the source: longer than sessions and requests last."""


def test_bridge_whose_source_was_away_goes_on_by_itself(
    new_bridging: NewBridging, party_kafka: LocalKafka
) -> None:
    bridging = new_bridging(8)
    bridging.source.produce(ROWS)
    run = bridging.start()
    run.reach(2)
    party_kafka.kill()
    time.sleep(AWAY)  # that nobody answers is the point
    party_kafka.restart()
    said = len(run.said)
    bridging.source.produce(ROWS)
    run.reach(said + 2)
    run.process.terminate()
    assert run.end() == 0, run.log.read_text()
    bridging.finish()
    assert judged(bridging) == []
