"""Two trainers on rounds of two slots against two plain PyTorch processes that do not wait.

Each plain process trains on the rows of one slot of each round, one thread, in the environment of a
core, both at the same time, each for itself: what two cores can do at most. Ours trains the same
rows in rounds, with broker, coordinator and couriers on the same cores. Rows a second of both
processes together; jobs and plain processes in turn; medians without the first round. The
parameters of each job must be equal, bit for bit, to the plain loop's over the plan.

``training.two.*.share.trainer.*`` says what a round's time goes to, in percent, as the two trainers
see it (their mean), ``.coordinator.*`` the same of the coordinator: their work, and ``waiting`` for
all the others. The parts are those of :mod:`benchmarks.training`, in a job of its own.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from benchmarks import plain, shares
from benchmarks.bench import Bench, Figure, Goal, Stage
from benchmarks.through_kafka import Size, Trained, train
from benchmarks.training import TIMED

TRAINERS: Final = 2
WORKERS: Final = {"coordinator": 1, "trainer": TRAINERS}
TABULAR: Final = Size("mlp", 200_000, 10_000, 5, passes=6, slots=TRAINERS)
TABULAR_QUICK: Final = Size("mlp", 20_000, 1_000, 5, passes=1, slots=TRAINERS)
CNN: Final = Size("vgg9", 2_304, 576, 2, passes=4, slots=TRAINERS)
CNN_QUICK: Final = Size("vgg9", 128, 32, 1, passes=1, slots=TRAINERS)
TURNS: Final = 2


def benches() -> Iterator[Bench]:
    """Yield the two benches of this module."""
    about = "VGG-9, rounds of two slots of 18 steps: two trainers against two plain processes"
    yield Bench("training.two.cnn", about, cnn, ("torch",))
    about = "tabular MLP, rounds of two slots of about 1 s: the same"
    yield Bench("training.two.tabular", about, tabular, ("torch",))


def cnn(stage: Stage) -> list[Figure]:
    """Train VGG-9 in turn, then once with stop watches."""
    size = CNN_QUICK if stage.quick else CNN
    return _measured("training.two.cnn", stage, size, Goal(">=", 0.90))


def tabular(stage: Stage) -> list[Figure]:
    """Train the MLP in turn, then once with stop watches."""
    size = TABULAR_QUICK if stage.quick else TABULAR
    return _measured("training.two.tabular", stage, size, Goal(">=", 0.70))


def _measured(name: str, stage: Stage, size: Size, goal: Goal) -> list[Figure]:
    ours: list[float] = []
    theirs: list[float] = []
    for _ in range(stage.amount(TURNS, 1)):
        job = train(stage, size, WORKERS)
        _check(size, job)
        ours += job.seconds
        theirs += _alone(size, job)
    through, each = statistics.median(ours), statistics.median(theirs)
    rows = size.rows_per_round
    return [
        Figure(name, "rows/s", rows / through, rows / each, goal),
        Figure(f"{name}.round", "s", through, each),
        *shares.apart(f"{name}.share", train(stage, size, WORKERS, TIMED), TRAINERS),
    ]


def _check(size: Size, job: Trained) -> None:
    found = plain.train(size.workload, size.rows, job.rounds)
    if found.parameters != job.parameters:
        raise RuntimeError("the parameters differ from the plain loop's")


def _alone(size: Size, job: Trained) -> list[float]:
    """Return the seconds of each round but the first of two processes that know of no other."""
    with ThreadPoolExecutor(TRAINERS) as pool:
        plans = [[[slots[number]] for slots in job.rounds] for number in range(TRAINERS)]
        found = pool.map(lambda plan: plain.train(size.workload, size.rows, plan), plans)
        return [seconds for one in found for seconds in one.seconds[1:]]
