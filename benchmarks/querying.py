"""One query's round trip with sealing on, against the same path with sealing as identity.

Two jobs run side by side, alike but for that switch; two clients in processes of their own ask in
alternating blocks, the first of a turn second in the next: 5,400 queries each. ``95 %`` is the
interval of the ratio (:mod:`benchmarks.intervals`). The parts are measured apart: what sealing
costs, what the model costs; ``round_trip.plain`` says what two records through Kafka cost.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import timeit
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import chain
from typing import Final

from benchmarks import jobs
from benchmarks.bench import Bench, Figure, Goal, Stage
from benchmarks.intervals import of_percentile
from benchmarks.measuring import percentile
from benchmarks.workloads import MLP
from chiron_stream.clients.owner import DataOwner
from chiron_stream.graph import prediction, state
from chiron_stream.graph.checker import check
from chiron_stream.local.running import COURIER, RunningJob
from chiron_stream.wire.serving import (
    AnswerBody,
    QueryName,
    Status,
    open_answer,
    open_query,
    seal_answer,
    seal_query,
)

IDENTITY: Final = ("-m", "benchmarks.identity")
TURNS: Final = 180
IN_BLOCK: Final = 30
GOAL: Final = Goal("<=", 1.3)


def benches() -> Iterator[Bench]:
    """Yield the one bench of this module."""
    about = "one query at a time: sealed against the same path with sealing as identity"
    yield Bench("query", about, measure, ("numpy", "torch", "cryptography"))


def measure(stage: Stage) -> list[Figure]:
    """Ask in alternating blocks."""
    share, turns = stage.amount(IN_BLOCK, 5), stage.amount(TURNS, 2)
    with _asking(stage, "sealed", COURIER) as sealed, _asking(stage, "identity", IDENTITY) as plain:
        for ask in (sealed, plain):
            ask(2 * share)  # warms up
        taken = [_turn(turn, sealed, plain, share) for turn in range(turns)]
    return [
        _figure("query.p50", taken, 50),
        _figure("query.p99", taken, 99),
        Figure("query.samples", "queries", share * turns, share * turns),
        Figure("query.part.sealing", "ms", _sealing_ms()),
        Figure("query.part.model", "ms", _model_ms()),
    ]


Pair = tuple[list[float], list[float]]


def _turn(turn: int, sealed: _Asker, plain: _Asker, share: int) -> Pair:
    """Return the milliseconds of a block of each; who asks first takes turns."""
    if turn % 2:
        baseline = plain(share)
        return sealed(share), baseline
    return sealed(share), plain(share)


def _figure(name: str, taken: Sequence[Pair], percent: float) -> Figure:
    ours, baseline = zip(*taken, strict=True)
    first, second = (percentile([*chain(*blocks)], percent) for blocks in (ours, baseline))
    return Figure(name, "ms", first, second, GOAL, of_percentile(ours, baseline, percent))


class _Asker:
    """A client process."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def __call__(self, count: int) -> list[float]:
        """Ask so many queries; return the milliseconds of each."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{count}\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the client ended")
        taken: list[float] = json.loads(line)
        return taken


@contextmanager
def _asking(stage: Stage, mode: str, courier: Sequence[str]) -> Iterator[_Asker]:
    """Give a client of a job with a release."""
    with ExitStack() as stack:
        job = stack.enter_context(jobs.running(stage, jobs.terms(), courier=courier))
        _release(job)
        command = [sys.executable, "-m", "benchmarks.asker", str(job.directory.path), mode]
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        stack.callback(process.wait)
        stack.callback(process.stdin.close)  # type: ignore[union-attr]
        yield _Asker(process)


def _release(job: RunningJob) -> None:
    jobs.publish_recipe(job)
    with DataOwner(job.job, job.directory.identity("alice"), evidence=jobs.SIMULATED) as owner:
        owner.publish(MLP.rows(256, 0), dataset="d").wait("trained", 60)


def _sealing_ms() -> float:
    """Return what sealing and opening one query and its answer cost together."""
    key, name, nonce = os.urandom(32), QueryName(os.urandom(16), 7), os.urandom(32)
    content = os.urandom(124)
    body = AnswerBody(Status.OK, (1,), (), 1, 1, bytes(32), 9, "local", True, "")

    def once() -> None:
        open_query(key, name, seal_query(key, name, content, 256))
        open_answer(key, name, seal_answer(key, name, nonce, body, 544))

    return min(timeit.repeat(once, number=200, repeat=5)) / 200 * 1e3


def _model_ms() -> float:
    """Return what one prediction at the predictors' batch size costs."""
    recipe = MLP.spec().export(MLP.kinds)
    checked = check(recipe.definition)
    model = state.initial(checked, recipe.weights)
    row = {"x": MLP.rows(1, 0)["x"]}
    once = timeit.repeat(lambda: prediction.predict(checked, model, row, 32), number=50, repeat=5)
    return min(once) / 50 * 1e3
