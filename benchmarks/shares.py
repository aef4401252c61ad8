"""What the rounds of a job with stop watches went to (:mod:`benchmarks.timed`)."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from benchmarks.bench import Figure
from benchmarks.through_kafka import Trained
from benchmarks.timed import JOURNAL, KAFKA, MARK, MERGE, REST, SEALING, TRAINING, WAITING

COORDINATOR: Final = "coordinator-0"


def figures(prefix: str, job: Trained) -> list[Figure]:
    """Return a row for each part, in percent of all rounds but the first."""
    whole = sum(job.seconds)
    spent = _spent(job, ["trainer-0", COORDINATOR])
    spent[KAFKA] += whole - sum(spent.values())
    parts = (TRAINING, SEALING, KAFKA, JOURNAL, MERGE, REST)
    return [Figure(f"{prefix}.{part}", "%", 100 * spent[part] / whole) for part in parts]


def apart(prefix: str, job: Trained, trainers: int) -> list[Figure]:
    """Return rows for the trainers, as many as slots in a round, and rows for the coordinator."""
    names = [f"trainer-{number}" for number in range(trainers)]
    return [
        *_whole(f"{prefix}.trainer", _spent(job, names), trainers * sum(job.seconds)),
        *_whole(f"{prefix}.coordinator", _spent(job, [COORDINATOR]), sum(job.seconds)),
    ]


def _whole(prefix: str, spent: Mapping[str, float], whole: float) -> list[Figure]:
    parts = {**spent, WAITING: whole - sum(spent.values())}
    return [Figure(f"{prefix}.{part}", "%", 100 * parts[part] / whole) for part in sorted(parts)]


def _spent(job: Trained, workers: Sequence[str]) -> defaultdict[str, float]:
    """Return the seconds that workers spent on each part, without the first line of each.

    They have as many lines as if each had a share of every round.
    """
    spent: defaultdict[str, float] = defaultdict(float)
    lines = [_lines(job.logs[worker].splitlines()) for worker in workers]
    if sum(map(len, lines)) != len(workers) * (len(job.seconds) + 1):
        raise RuntimeError(f"{', '.join(workers)} did something twice: no figures")
    for part, seconds in (pair for own in lines for one in own[1:] for pair in one.items()):
        spent[part] += seconds
    return spent


def _lines(lines: Iterable[str]) -> list[dict[str, float]]:
    """Return the parts in each line that a worker's log tells of."""
    marked = (json.loads(line) for line in lines if line.startswith(f'{{"{MARK}"'))
    return [one[MARK] for one in marked]
