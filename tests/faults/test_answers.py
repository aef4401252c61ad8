"""Bridges of answers that are killed: every record of the source is answered exactly once.

Two clusters: the client's own, and the job's. ``pytest tests/faults -k 'killed_answers and 1'``
plays a seed again; the kills are printed.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Final

import pytest

from chiron_stream.broker.local import LocalKafka
from chiron_stream.local.directory import create
from chiron_stream.local.running import RunningJob
from chiron_stream.local.services import FINAL_CODES
from chiron_stream.recipe import Recipe
from tests.faults.answering import Answering, Visits, findings
from tests.faults.commands import LIMIT
from tests.jobs import jobs
from tests.kafka.processes import carrying, eventually

pytestmark = [pytest.mark.kafka, pytest.mark.faults, pytest.mark.timeout(500)]

KILLS: Final = 10
ROWS: Final = 40
"""Rows that come before each run: more than are in hand at a time."""

NewAnswering = Callable[[int], Answering]


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return jobs.export()


@pytest.fixture
def new_answering(
    kafka: LocalKafka,
    party_kafka: LocalKafka,
    recipe: Recipe,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[NewAnswering]:
    """Train a job, and start a cluster of the client's own; nothing outlives the test."""
    top = tmp_path_factory.mktemp("a")
    with ExitStack() as stack:

        def make(seed: int) -> Answering:
            directory = create(top / "job", jobs.terms())
            running = RunningJob(directory, bootstrap_servers=kafka.bootstrap_servers)
            stack.enter_context(running)
            with jobs.Parties(directory) as parties:
                parties.provider().publish(recipe)
                for name in jobs.OWNERS:
                    parties.publish(name)
                jobs.reaches(directory, "finished")
            source = stack.enter_context(Visits(party_kafka.bootstrap_servers, random.Random(seed)))
            return stack.enter_context(Answering(directory, source, top))

        yield make
    assert carrying(str(top)) == []


@pytest.mark.parametrize("bridges", [1, 2], ids=["alone", "shared"])
def test_killed_answers_bridge_started_again_answers_every_row_exactly_once(
    new_answering: NewAnswering, bridges: int
) -> None:
    answering = new_answering(bridges)
    dice = random.Random(2000 + bridges)
    states = [f"{n}.state" for n in range(bridges)]
    running = {state: answering.start(state) for state in states}
    cut_off = 0
    for kill in range(KILLS):
        told = answering.told.count
        answering.source.produce(ROWS)
        state = dice.choice(states)
        transactions, later = dice.randint(0, 3), dice.uniform(0.0, 0.15)
        answering.reach(told + transactions)
        time.sleep(later)  # a moment of the dice's: whatever is under way then is cut off
        running[state].kill()
        left = answering.unwritten()
        cut_off += left
        print(f"kill {kill} of {state}: behind {transactions} transactions, {later:.3f} s: {left}")
        running[state] = answering.start(state)
    for run in running.values():
        run.kill()
    answering.source.produce(ROWS)
    answering.finish(states[0])
    queries = len(set(answering.queries()))
    assert list(findings(answering)) == []
    assert cut_off > 0, "some rows were asked about and not answered when a bridge was killed"
    if bridges == 1:
        assert queries == len(answering.source.rows), "each row was charged once"


@pytest.mark.parametrize(
    ("how", "counts"), [("from-the-start", "2 answers"), ("ahead", "0 answers")]
)
def test_judge_finds_answers_that_a_bridge_without_transactions_doubles_or_loses(
    new_answering: NewAnswering, how: str, counts: str
) -> None:
    answering = new_answering(7)
    answering.source.produce(ROWS)
    answering.start("state", "--to-the-end", how=how).end()
    answering.source.produce(ROWS)
    answering.start("state", "--to-the-end", how="" if how == "ahead" else how).end()
    assert any(one.startswith(counts) for one in findings(answering))


AWAY: Final = 20.0
"""Seconds without the client's cluster: longer than sessions and requests last."""

AWAY_CODES: Final = ("BROKER_UNREACHABLE", "TIMEOUT")


def test_answers_bridge_whose_cluster_was_away_goes_on_or_is_to_be_started_again(
    new_answering: NewAnswering, party_kafka: LocalKafka
) -> None:
    answering = new_answering(8)
    answering.source.produce(ROWS)
    run = answering.start("state")
    answering.reach(2)
    party_kafka.kill()
    time.sleep(AWAY)  # that nobody answers is the point
    told = answering.told.count
    party_kafka.restart()
    answering.source.produce(ROWS)
    eventually(
        lambda: answering.told.count > told or run.process.poll() is not None,
        "it went on, or ended",
        LIMIT,
    )
    run.process.terminate()
    code = run.end()
    print(f"it ended with {code}")
    assert code not in FINAL_CODES, run.log.read_text()
    if code:
        assert any(f'"code": "{one}"' in run.log.read_text() for one in AWAY_CODES)
    answering.finish("state")
    assert list(findings(answering)) == []
