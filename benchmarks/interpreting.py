"""The child of :mod:`benchmarks.interpreter`: lets interpreter and eager loop train in turn.

``python -m benchmarks.interpreting MODEL STEPS TURNS`` prints seconds of wall and CPU time of each
turn, and what both came to, as JSON.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator

from benchmarks.workloads import WORKLOADS, Workload
from chiron_stream.graph import state, training
from chiron_stream.graph.numerics import configure_numerics
from chiron_stream.recipe import Round, Slot, parameters_sha256, reference_loop


class Clock:
    """Wall and CPU seconds between two marks, turn after turn."""

    def __init__(self) -> None:
        self.wall: list[float] = []
        self.cpu: list[float] = []
        self._from = (0.0, 0.0)

    def start(self) -> None:
        self._from = time.perf_counter(), time.process_time()

    def stop(self) -> None:
        wall, cpu = self._from
        self.wall.append(time.perf_counter() - wall)
        self.cpu.append(time.process_time() - cpu)

    def seconds(self) -> dict[str, list[float]]:
        return {"wall": self.wall, "cpu": self.cpu}


class Interpreted:
    """Trains slot after slot as a trainer's core does."""

    def __init__(self, workload: Workload) -> None:
        self._rows = workload.rows
        self._batch = workload.batch_size
        recipe = workload.spec().export(workload.kinds)
        self._checked = recipe.checked
        self._model = state.initial(recipe.checked, recipe.weights)
        self.clock = Clock()

    def train(self, steps: int, seed: int) -> None:
        rows = self._rows(steps * self._batch, seed)
        self.clock.start()
        self._model = training.train_slot(
            self._checked, self._model, rows, seed=seed, first_step=seed * steps
        )
        self.clock.stop()

    def digest(self) -> str:
        return state.parameters_digest(self._model).hex()


def eager(
    workload: Workload, steps: int, turns: int, before: Callable[[int], None]
) -> tuple[Clock, str]:
    """Train by the reference loop; ``before`` runs before each turn, with its seed."""
    spec, clock = workload.spec(), Clock()

    def rounds() -> Iterator[Round]:
        for seed in range(turns):
            before(seed)
            rows = workload.rows(steps * workload.batch_size, seed)
            inputs, target = spec.arrays(rows, workload.kinds)
            clock.start()
            yield Round([Slot(inputs, target, seed)], workload.batch_size)
            clock.stop()

    trained = reference_loop(spec.module, spec.loss, spec.optimizer, spec.schedule, rounds())
    return clock, parameters_sha256(trained)


def main(name: str, steps: int, turns: int) -> None:
    """Let the two train in turn."""
    configure_numerics(threads=1)
    workload = WORKLOADS[name]
    ours = Interpreted(workload)
    clock, digest = eager(workload, steps, turns, lambda seed: ours.train(steps, seed))
    found = {
        "ours": ours.clock.seconds(),
        "eager": clock.seconds(),
        "digests": {"ours": ours.digest(), "eager": digest},
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
