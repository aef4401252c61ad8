"""A recipe trained at home, on a sample, by the interpreter that workers have.

Rows are checked as an owner's are, cut into shards and slots as a job's are, and trained slot by
slot with the calls that a trainer makes. Rounds have one slot: what a policy of more slots merges
is not rehearsed.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from chiron_stream.graph.batching import number_of_steps
from chiron_stream.graph.checked import CheckedRecipe
from chiron_stream.graph.columns import Array
from chiron_stream.graph.layout import bytes_of, layout
from chiron_stream.graph.prediction import predict
from chiron_stream.graph.state import ModelState, finite, initial, parameters_digest
from chiron_stream.graph.training import train_slot
from chiron_stream.job.policy import Policy
from chiron_stream.job.rows import Prepared
from chiron_stream.job.schema import Column, TargetColumn
from chiron_stream.recipe.apart import Numerics, like_a_worker
from chiron_stream.recipe.diagnosis import Bad, not_finite
from chiron_stream.recipe.fitting import Places, located
from chiron_stream.recipe.learning import channels
from chiron_stream.recipe.peak import PeakMemory
from chiron_stream.recipe.portions import Cut, Portion, Positions
from chiron_stream.recipe.rehearsal import Rehearsal, RehearsedSlot, Score

MEASURED_STEPS: Final = 3
"""Steps over which memory is counted: the first has no moments yet, the second has all there is."""

OnProgress = Callable[[int, int, float], None]
"""Hears of each step: steps done, steps in all, the loss."""


@dataclass
class Rehearsing:
    """A rehearsal under way.

    :param recipe: that the policy takes.
    :param weights: of its first state.
    :param prepared: the sample, as its owner would publish it.
    """

    recipe: CheckedRecipe
    weights: bytes
    places: Places
    prepared: Prepared
    policy: Policy
    cut: Cut
    progress: OnProgress
    stop: threading.Event = field(default_factory=threading.Event)
    _done: int = 0
    _all: int = 0

    def run(self, threads: int) -> Rehearsal:
        """Train, in a thread that is set up as a worker's.

        :raises RecipeRefused: a slot that a job would leave out; its hint names module and line.
        """
        held, portions = self.cut.portions(self.prepared.rows)
        size = self.recipe.definition.batch_size
        self._all = sum(number_of_steps(len(one.rows), size) for one in portions)
        return like_a_worker(threads, self.stop, lambda found: self._run(found, held, portions))

    def _run(self, numerics: Numerics, held: Positions, portions: list[Portion]) -> Rehearsal:
        state = initial(self.recipe, self.weights)
        with located(self.places):
            peak = self._peak(state, portions[0])
            scores = list(self._scored(state, held))
            slots = []
            for number, portion in enumerate(portions, 1):
                state, slot = self._slot(state, portion, number)
                slots.append(slot)
                if number == len(portions) or portions[number].sweep != portion.sweep:
                    scores += self._scored(state, held)
        return Rehearsal(
            slots=tuple(slots),
            held_out=held,
            dropped=self.prepared.dropped,
            rows_per_shard=min(self.cut.rows_per_shard, self.prepared.rows - len(held)),
            scores=tuple(scores),
            peak_bytes=peak,
            parameters=parameters_digest(state).hex(),
            numerics="/".join(str(numerics[name]) for name in ("torch", "isa", "threads")),
            slots_per_round=self.policy.schedule.slots,
            learns=channels(self.policy),
        )

    def _slot(
        self, state: ModelState, portion: Portion, number: int
    ) -> tuple[ModelState, RehearsedSlot]:
        columns, steps = self._columns(portion.rows), _Steps(self)
        after = train_slot(
            self.recipe,
            state,
            columns,
            seed=portion.seed,
            first_step=self._done,
            on_step=steps.stepped,
            measure=steps.measured,
        )
        first, self._done = self._done, self._done + len(steps.losses)
        if not finite(after):
            bad = Bad(number, first + steps.first_bad, at_once=not steps.first_bad)
            raise not_finite(self.recipe, state, columns, self.places, bad)
        return after, RehearsedSlot(
            sweep=portion.sweep,
            rows=portion.rows,
            seed=portion.seed,
            losses=tuple(steps.losses),
            gradients=tuple(steps.norms),
            seconds=tuple(steps.seconds),
        )

    def _peak(self, state: ModelState, portion: Portion) -> int:
        """Return the bytes of tensors at one time, over a few steps of their own."""
        rows = portion.rows[: MEASURED_STEPS * self.recipe.definition.batch_size]
        columns = self._columns(rows)
        peak = PeakMemory()
        with peak:
            train_slot(self.recipe, state, columns, seed=portion.seed, first_step=0)
        return bytes_of(layout(self.recipe, stepped=False)) + peak.most

    def _scored(self, state: ModelState, held: Positions) -> Iterator[Score]:
        if not len(held):
            return
        target, batch = self.policy.schema.target, max(2, self.policy.predictor_batch)
        columns = self._columns(held)
        yield score(target, predict(self.recipe, state, columns, batch), columns[target.name])

    def _columns(self, rows: Positions) -> Mapping[str, Array]:
        return {name: array[rows] for name, array in self.prepared.columns.items()}

    def told(self, step: int, loss: float) -> None:
        """Tell of a step, and end if the caller was interrupted."""
        if self.stop.is_set():
            raise _Stopped
        self.progress(step + 1, self._all, loss)


class _Stopped(Exception):
    """The caller was interrupted and takes no result any more."""


class _Steps:
    """What a slot's steps measured."""

    def __init__(self, rehearsing: Rehearsing) -> None:
        self._rehearsing = rehearsing
        self.losses: list[float] = []
        self.norms: list[float] = []
        self.seconds: list[float] = []
        self._began = time.perf_counter()

    def measured(self, loss: float, norm: float) -> None:
        """Take what a step found."""
        self.losses.append(loss)
        self.norms.append(norm)

    def stepped(self, step: int) -> None:
        """Take the time, and tell."""
        now = time.perf_counter()
        self.seconds.append(now - self._began)
        self._rehearsing.told(step, self.losses[-1])
        self._began = time.perf_counter()

    @property
    def first_bad(self) -> int:
        """Where the first loss or norm is that is not finite; the last step if neither is."""
        pairs = zip(self.losses, self.norms, strict=True)
        bad = [n for n, (one, two) in enumerate(pairs) if not math.isfinite(one + two)]
        return bad[0] if bad else len(self.losses) - 1


def score(target: Column, found: Array, wanted: Array) -> Score:
    """Return how good predictions are, as a trainer counts it for owners, in floats.

    :param found: float32 ``[rows, ...]``: a score for each class, or one number.
    :param wanted: codes of classes, or numbers.
    """
    found = found.reshape(len(found), -1)
    if not isinstance(target, TargetColumn):
        best = np.argmax(np.where(np.isnan(found), -np.inf, found), axis=1)
        return Score(accuracy=float(np.mean(best == wanted)), error=None)
    kept = np.nan_to_num(found[:, 0].astype(np.float64), nan=target.low, posinf=np.inf)
    errors = np.clip(kept, target.low, target.high) - wanted.astype(np.float64)
    return Score(accuracy=None, error=float(np.sqrt(np.mean(errors * errors))))


def silent(_done: int, _all: int, _loss: float) -> None:
    """Report nothing."""
