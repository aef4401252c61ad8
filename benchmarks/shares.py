"""What the rounds of a job with stop watches went to (:mod:`benchmarks.training`)."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable

from benchmarks.bench import Figure
from benchmarks.through_kafka import Trained
from benchmarks.timed import JOURNAL, KAFKA, MARK, MERGE, REST, SEALING, TRAINING


def figures(prefix: str, job: Trained) -> list[Figure]:
    """Return a row for each part, in percent of all rounds but the first."""
    whole = sum(job.seconds)
    spent: defaultdict[str, float] = defaultdict(float)
    for worker in ("trainer-0", "coordinator-0"):
        rounds = _rounds(job.logs[worker].splitlines())
        if len(rounds) != len(job.seconds) + 1:
            raise RuntimeError(f"{worker} tells of {len(rounds)} rounds: a round was done twice")
        for part, seconds in (pair for one in rounds[1:] for pair in one.items()):
            spent[part] += seconds
    spent[KAFKA] += whole - sum(spent.values())
    parts = (TRAINING, SEALING, KAFKA, JOURNAL, MERGE, REST)
    return [Figure(f"{prefix}.{part}", "%", 100 * spent[part] / whole) for part in parts]


def _rounds(lines: Iterable[str]) -> list[dict[str, float]]:
    """Return the parts of each round that a worker's log tells of."""
    marked = (json.loads(line) for line in lines if line.startswith(f'{{"{MARK}"'))
    return [one[MARK] for one in marked]
