"""The plain PyTorch loop over a recorded plan, in a process of its own, environment of a core.

``python -m benchmarks.plain`` reads workload, rows and rounds as JSON, and prints the seconds of
each round and the digest of the parameters.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from benchmarks.children import computed
from benchmarks.workloads import WORKLOADS
from chiron_stream import recipe
from chiron_stream.graph.numerics import configure_numerics
from chiron_stream.recipe import Round, parameters_sha256, reference_loop

SECONDS = 600.0


@dataclass(frozen=True)
class Slot:
    """A slot as it was planned: its seed, and first and last row (behind it) of each shard."""

    seed: int
    parts: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Trained:
    """Seconds of each round, and the digest of the parameters at the end, in hexadecimal."""

    seconds: list[float]
    parameters: str


def train(name: str, rows: int, rounds: Sequence[Sequence[Slot]]) -> Trained:
    """Train in a child process, round by round.

    :param name: of the workload.
    :param rows: of its data set.
    :param rounds: the slots of each.
    """
    planned = [[asdict(slot) for slot in one] for one in rounds]
    given = {"name": name, "rows": rows, "rounds": planned}
    return Trained(**computed("benchmarks.plain", given=given, seconds=SECONDS))


def main(given: dict[str, Any]) -> Trained:
    """Train; one thread, denormals flushed."""
    configure_numerics(threads=1)
    workload = WORKLOADS[given["name"]]
    spec, data = workload.spec(), workload.rows(given["rows"], 0)
    marks: list[float] = []

    def made(slot: dict[str, Any]) -> recipe.Slot:
        chosen = np.concatenate([np.arange(*part) for part in slot["parts"]])
        rows = {name: array[chosen] for name, array in data.items()}
        inputs, target = spec.arrays(rows, workload.kinds)
        return recipe.Slot(inputs, target, slot["seed"])

    def rounds() -> Iterator[Round]:
        for one in given["rounds"]:
            slots = [made(slot) for slot in one]
            marks.append(time.perf_counter())
            yield Round(slots, workload.batch_size)
            marks.append(time.perf_counter())

    trained = reference_loop(spec.module, spec.loss, spec.optimizer, spec.schedule, rounds())
    seconds = [marks[n + 1] - marks[n] for n in range(0, len(marks), 2)]
    return Trained(seconds, parameters_sha256(trained))


if __name__ == "__main__":
    print(json.dumps(asdict(main(json.load(sys.stdin)))))
