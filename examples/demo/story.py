"""What happens, act by act, while the job runs."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from chiron_stream.graph.columns import ColumnKinds
from chiron_stream.recipe.published import DataSetName
from chiron_stream.wire.receipts import Plan
from examples.demo import refusing
from examples.demo.arriving import arrive, go_on, tables
from examples.demo.asking import Asked
from examples.demo.background import Background
from examples.demo.data import Rows
from examples.demo.killing import Killed
from examples.demo.parties import plans
from examples.demo.saying import say
from examples.demo.stage import Stage

ONE_BY_ONE: Final = 300
"""Queries whose round trips are measured, each behind the answer to the one before."""

TRAINER_KILLED_AT, PREDICTOR_KILLED_AT = 0.3, 0.6
"""Shares of the days that both owners bring."""


@dataclass(frozen=True)
class Recorded:
    """What a run leaves to be computed again.

    :param batch: rows that predictors compute at a time.
    """

    plans: Sequence[Plan]
    kinds: ColumnKinds
    batch: int
    tables: Mapping[DataSetName, Rows]
    answers: Sequence[Asked]


def run(stage: Stage) -> Recorded:
    """Play all acts; what they find is in the stage's facts."""
    training(stage)
    asking(stage)
    verifying(stage)
    policy = stage.running.job.policy
    return Recorded(
        plans(stage.running.directory),
        policy.schema.kinds(),
        policy.predictor_batch,
        tables((stage.a, stage.b)),
        stage.asker.answers,
    )


def training(stage: Stage) -> None:
    """Owner A alone, then both; a trainer and a predictor die; the client asks all the while."""
    pace, watch = stage.data.pace, stage.watch
    client = stage.asker.start()
    watch.also(client)
    alone = Background("owner A", lambda: stage.a.bring_all(pace.days_alone))
    watch.also(alone)
    watch.until_round(pace.join_at, pace.seconds)
    a, b = _b_joins(stage)
    watch.until_round(pace.round_at(TRAINER_KILLED_AT), pace.seconds)
    killed = [_note(stage, "trainer killed", stage.killer.trainer())]
    watch.until_round(pace.round_at(PREDICTOR_KILLED_AT), pace.seconds)
    killed.append(_note(stage, "predictor killed", stage.killer.predictor()))
    stage.facts["killed"] = [one.name for one in killed]
    stage.facts["took_over"] = [one.by for one in killed]
    stage.facts["took_over_seconds"] = [one.seconds for one in killed]
    watch.until(lambda: a.done and b.done, "all rows accepted", pace.seconds)
    watch.until_trained(stage.a.shards + stage.b.shards, pace.seconds)
    stage.asker.finish()
    watch.until(lambda: client.done, "an answer to every query", pace.seconds)
    watch.tell()


def _b_joins(stage: Stage) -> tuple[Background, Background]:
    """Have owner B come in mid-run; what was answered before knows nothing of its classes."""
    watch = stage.watch
    watch.tell()
    before = watch.accuracy.of(stage.asker.answers, first=False)
    stage.facts["accuracy_b_before"] = before
    stage.facts["joined_in_round"] = stage.events["B joins"] = watch.round
    say(f"owner B joins in round {watch.round}, with the other half of the classes")
    a, b, days = stage.a, stage.b, stage.data.pace.days_together
    b.join()
    going_on = Background("owner A", lambda: go_on(a, b, days))
    joining = Background("owner B", lambda: arrive(b, a, days))
    watch.also(going_on)
    watch.also(joining)
    return going_on, joining


def _note(stage: Stage, said: str, killed: Killed) -> Killed:
    stage.events[said] = killed.round
    return killed


def asking(stage: Stage) -> None:
    """Ask the last release about every test row; measure round trips of single queries."""
    facts, accuracy, asker = stage.facts, stage.watch.accuracy, stage.asker
    answers = asker.ask_all()
    facts["accuracy"] = accuracy.overall(answers)
    facts["accuracy_a"] = accuracy.of(answers, first=True)
    facts["accuracy_b"] = accuracy.of(answers, first=False)
    seconds = sorted(asker.one_by_one(ONE_BY_ONE))
    facts["query_p50_ms"] = round(1000 * statistics.median(seconds), 1)
    facts["query_p99_ms"] = round(1000 * seconds[int(0.99 * len(seconds))], 1)
    facts |= {"queries": asker.asked, "answers": len(asker.answers)}
    say(f"client: {facts['answers']} sealed answers to {facts['queries']} queries opened")
    say(
        f"client: accuracy of the last release {facts['accuracy']:.3f}; "
        f"query p50 {facts['query_p50_ms']} ms, p99 {facts['query_p99_ms']} ms"
    )


def verifying(stage: Stage) -> None:
    """Verify receipts; try what a hostile broker or other code would do."""
    facts, owners = stage.facts, (stage.a, stage.b)
    last = stage.watch.last
    if last is not None:
        facts |= {"rounds": last.round, "releases": last.release}
    facts["shards"] = sum(one.shards for one in owners)
    passes = stage.data.pace.passes
    facts["receipts_verified"] = sum(one.receipts(passes) for one in owners)
    say(
        f"owners: receipts of {facts['receipts_verified']} of {facts['shards']} shards verified, "
        f"each used exactly {passes} times (freshness: local)"
    )
    _attack(stage)


def _attack(stage: Stage) -> None:
    facts, job, publication = stage.facts, stage.running.job, stage.a.publications[0]
    say(f"what the broker sees of a record: {refusing.seen_by_the_broker(publication)}")
    facts["flipped_byte"] = refusing.of_a_flipped_byte(publication)
    facts["unflipped_byte"] = refusing.of_a_flipped_byte(publication, flip=0)
    say(f"one byte flipped in a copy: refused, {' and '.join(facts['flipped_byte'])}")
    refused = refusing.of_the_coordinator(job, refusing.other_code(job))
    facts["other_code"], facts["this_code"] = (
        refused[0],
        refusing.of_the_coordinator(job, job.policy.evidence)[0],
    )
    say(f"a coordinator of other code than the policy names: {': '.join(refused)}")
