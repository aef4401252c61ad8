"""The interpreter of closed graphs against the provider's own module, trained by the eager loop.

One process a model, in the environment of a core, one thread: both train the same rows in turn,
slot after slot, and must come to the same bits. Wall and CPU time of a step; a slot's own costs,
such as copying the state that it begins with, are part of it.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from functools import partial
from typing import Final

from benchmarks import interpreting
from benchmarks.bench import Bench, Figure, Goal, Stage
from benchmarks.children import computed

STEPS: Final = {"vgg9": 3, "resnet18": 2, "transformer": 10, "tabular": 200}
"""Steps of a slot: one to two seconds."""

TURNS: Final = 9
CHILD_SECONDS: Final = 300.0
GOAL: Final = Goal(">=", 0.97)


def benches() -> Iterator[Bench]:
    """Yield a bench for each model."""
    for name in STEPS:
        about = f"{name}: the interpreter against the eager loop, one thread"
        yield Bench(f"interpreter.{name}", about, partial(measure, name), ("torch",))


def measure(name: str, stage: Stage) -> list[Figure]:
    """Train in a child process, in turn; the first turn warms up and is dropped."""
    turns, steps = stage.amount(TURNS, 2), stage.amount(STEPS[name], 2)
    arguments = (name, str(steps), str(turns))
    found = computed(interpreting.__name__, *arguments, seconds=CHILD_SECONDS)
    if found["digests"]["ours"] != found["digests"]["eager"]:
        raise RuntimeError("the parameters differ from the eager loop's")
    figures = []
    for clock, suffix, unit in (("wall", "", "steps/s"), ("cpu", ".cpu", "steps/CPU-s")):
        ours, eager = (
            steps / statistics.median(found[contender][clock][1:])
            for contender in ("ours", "eager")
        )
        figures.append(Figure(f"interpreter.{name}{suffix}", unit, ours, eager, GOAL))
    return figures
