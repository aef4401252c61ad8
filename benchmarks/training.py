"""Training through Kafka against the plain PyTorch loop on the same rounds, one thread each.

A round's time through Kafka is between the timestamps of two checkpoints; the plain loop's is its
own over the same plan, in a process of its own with the environment of a core, on the idle job's
machine. Jobs and plain loops run in turn; all are medians without the first round. The parameters
must be equal bit for bit.

``training.cnn.share.*`` says what a round's time goes to, in percent. It comes from one more job,
with a predictor, whose cores are :mod:`benchmarks.timed`. A round of one slot goes from coordinator
to trainer and back, so that the parts of both, one after the other, are the round:

* ``training``: the steps, and the copy of the state that they begin with.
* ``sealing``: every function of ``wire/crypto.py`` (encryption, hashes, signatures) and digests of
  parameters, in both cores.
* ``kafka``: what both cores wait for reads and appends, which is Kafka, courier and the connection
  between courier and core; and the two ways of task and result, which is what is left of the round.
* ``journal``: events and their effects, without their sealing, and the wait for the commit.
* ``merge``: making the version of the slot's state, without sealing and without Kafka.
* ``rest``: rows and state from and to bytes, checks of rows, messages, in both cores.

``training.cnn.memory.*`` is of the same job (:mod:`benchmarks.memory`).
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from functools import partial
from typing import Final

from benchmarks import plain, shares
from benchmarks.bench import Bench, Figure, Goal, Stage
from benchmarks.memory import Memory, processes
from benchmarks.through_kafka import Size, Trained, train
from chiron_stream.local.running import WORKERS, RunningJob

TABULAR: Final = Size("mlp", 100_000, 10_000, 5, passes=8)
TABULAR_QUICK: Final = Size("mlp", 10_000, 1_000, 5, passes=1)
CNN: Final = Size("vgg9", 1_152, 576, 2, passes=4)
CNN_QUICK: Final = Size("vgg9", 64, 32, 1, passes=1)
CNN_TURNS: Final = 2
TIMED: Final = ("-m", "benchmarks.timed")


def benches() -> Iterator[Bench]:
    """Yield the two benches of this module."""
    about = "tabular MLP, 100,000 rows, slots of about 1 s: through Kafka against the plain loop"
    yield Bench("training.tabular", about, tabular, ("torch",))
    about = "VGG-9, images of 3x32x32, slots of 18 steps, about 10 s: the same; shares, memory"
    yield Bench("training.cnn", about, cnn, ("torch",))


def tabular(stage: Stage) -> list[Figure]:
    """Train the MLP once through Kafka and once plainly."""
    size = TABULAR_QUICK if stage.quick else TABULAR
    return _compare("training.tabular", stage, size, 1, Goal(">=", 0.70))


def cnn(stage: Stage) -> list[Figure]:
    """Train VGG-9 in turn; then once with stop watches and a predictor."""
    size = CNN_QUICK if stage.quick else CNN
    turns = stage.amount(CNN_TURNS, 1)
    name = "training.cnn"
    return [
        *_compare(name, stage, size, turns, Goal(">=", 0.95)),
        *_explain(name, stage, size),
    ]


def _compare(name: str, stage: Stage, size: Size, turns: int, goal: Goal) -> list[Figure]:
    through: list[float] = []
    plainly: list[float] = []
    for _ in range(turns):
        job = train(stage, size)
        through += job.seconds
        plainly += _plain(size, job)[1:]
    ours, baseline = statistics.median(through), statistics.median(plainly)
    rows = size.rows_per_round
    return [
        Figure(name, "rows/s", rows / ours, rows / baseline, goal),
        Figure(f"{name}.round", "s", ours, baseline),
    ]


def _plain(size: Size, job: Trained) -> list[float]:
    found = plain.train(size.workload, size.rows, job.rounds)
    if found.parameters != job.parameters:
        raise RuntimeError("the parameters differ from the plain loop's")
    return found.seconds


def _explain(name: str, stage: Stage, size: Size) -> list[Figure]:
    made: list[Memory] = []
    watched = partial(_watched, made, stage.kafka.nodes[0].pid)
    job = train(stage, size, WORKERS, TIMED, watched)
    return [*shares.figures(f"{name}.share", job), *made[0].figures(f"{name}.memory")]


def _watched(made: list[Memory], broker: int, job: RunningJob) -> Memory:
    made.append(Memory(processes(job, broker)))
    return made[0]
