"""What a job came to, without what differs between jobs of the same terms: identities, epochs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chiron_stream import Auditor, InsecureSimulation
from chiron_stream.broker.extents import read_until
from chiron_stream.broker.seam import Broker
from chiron_stream.clients.publication import Publication
from chiron_stream.clients.receipts import checkpoints
from chiron_stream.local.directory import JobDirectory
from chiron_stream.wire.receipts import Checkpoint, CheckpointRecord, Plan, Rejected
from tests.crash import jobs

SIMULATED = InsecureSimulation()


@dataclass(frozen=True)
class Outcome:
    """What two runs of the same terms have to share.

    :param plans: every round: its shards by owner's name, seeds, rows, steps, and the digests of
        base, result and parameters.
    :param checkpoints: every round's counts, release and number of leaves, all signatures verified.
    :param receipts: by owner: shard, round, version, and how many checkpoints name it.
    :param answers: of the last release, one for each question.
    """

    plans: list[Any]
    checkpoints: list[Any]
    receipts: dict[str, list[Any]]
    answers: list[str]

    @property
    def parameters(self) -> str:
        """Digest of the parameters behind the last round."""
        found: str = self.plans[-1]["parameters"]
        return found


@dataclass(frozen=True)
class Judged:
    """An outcome, the plans that it was read from, and what stands on ``rejected``."""

    outcome: Outcome
    plans: Sequence[Plan]
    rejected: list[tuple[str, str]]


def judge(
    directory: JobDirectory,
    publications: Mapping[str, Publication],
    answers: list[str],
    broker: Broker | None = None,
) -> Judged:
    """Read what a job came to; everything on the way is verified.

    :raises TamperDetected: receipts or plans that are no honest history.
    """
    job = directory.job()
    names = {one.identity: one.name for one in job.policy.roster}
    identity = directory.identity("dan")
    with Auditor(job, identity, evidence=SIMULATED, broker=broker) as auditor:
        plans = auditor.plans()
        seen = [_counts(*one) for one in checkpoints(auditor)]
        place = auditor.partition("rejected")
        marks = auditor.broker.watermarks(place)
        with auditor.broker.reader({place: marks.low}) as reader:
            records = list(read_until(reader, place, marks.stable))
    refused = [Rejected.unpack(record.value) for record in records]
    receipts = {
        owner: [
            (one.shard, one.round, one.version, len(set(one.checkpoints)))
            for one in publication.receipts()
        ]
        for owner, publication in publications.items()
    }
    outcome = Outcome([_shown(plan, names) for plan in plans], seen, receipts, answers)
    return Judged(outcome, plans, [(one.topic, one.code) for one in refused])


def _counts(one: Checkpoint, record: CheckpointRecord) -> tuple[int, ...]:
    rounds = one.round, one.version, one.release, one.finished, len(record.leaves)
    return *rounds, one.accepted, one.trained, one.void, one.parked


def _shown(plan: Plan, names: Mapping[bytes, str]) -> dict[str, Any]:
    slots = [
        {
            "seed": slot.seed,
            "first_step": slot.first_step,
            "steps": slot.steps,
            "rows": slot.rows,
            "numerics": slot.numerics,
            "result": slot.result.hex(),
            "shards": [
                (names[one.owner], one.data_set, one.number, one.rows) for one in slot.shards
            ],
        }
        for slot in plan.slots
    ]
    return {
        "round": plan.round,
        "version": plan.version,
        "base": plan.base.hex(),
        "result": plan.result.hex(),
        "parameters": plan.parameters.hex(),
        "slots": slots,
    }


def uses(outcome: Outcome) -> Counter[tuple[str, str, int]]:
    """Count how often each shard was trained on, by owner, data set and number."""
    return Counter(
        (owner, data_set, number)
        for plan in outcome.plans
        for slot in plan["slots"]
        for owner, data_set, number, _ in slot["shards"]
    )


def expected_uses(passes: int) -> dict[tuple[str, str, int], int]:
    return {
        (owner, jobs.DATA_SET, number): passes
        for owner in jobs.OWNERS
        for number in range(jobs.SHARDS)
    }
