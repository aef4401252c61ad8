"""What a rehearsal found out, by field and in words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from statistics import fmean, median
from typing import Any, Final

from chiron_stream.recipe.explaining import learned, size
from chiron_stream.recipe.learning import Channel
from chiron_stream.recipe.portions import Positions

SHOWN: Final = 12
"""Passes that the text shows; of more, so many evenly chosen ones."""

WIDTH: Final = 30
"""Characters of the longest bar of the loss curve."""


@dataclass(frozen=True)
class Score:
    """How good parameters are on the rows that were held out.

    ``accuracy`` of a label is the share of rows whose best class is theirs; ``error`` of a target
    is the root of the mean squared error. The other is None.
    """

    accuracy: float | None
    error: float | None

    def __str__(self) -> str:
        """Return it for people."""
        return f"accuracy {self.accuracy:.3f}" if self.error is None else f"error {self.error:.4g}"


@dataclass(frozen=True, eq=False)
class RehearsedSlot:
    """One slot, which is a round of its own.

    :param sweep: the pass that it belongs to, from 1.
    :param rows: where its rows stand in the sample, shard after shard.
    :param seed: of the slot; with the rows it is all that plain PyTorch needs.
    :param losses: of each step; ``gradients`` the norm of its gradients, before clipping.
    :param seconds: of each step.
    """

    sweep: int
    rows: Positions = field(repr=False)
    seed: int
    losses: tuple[float, ...] = field(repr=False)
    gradients: tuple[float, ...] = field(repr=False)
    seconds: tuple[float, ...] = field(repr=False)


@dataclass(frozen=True, eq=False)
class Rehearsal:
    """A recipe, trained on a sample by the interpreter that workers have.

    Everything but times is a function of sample, policy, arguments and ``numerics``.

    :param held_out: where the rows that did not train stand in the sample.
    :param rows_per_shard: of a full shard; all rows that train where they do not fill one.
    :param dropped: columns of the sample that the schema does not name.
    :param scores: on the rows held out: before training, and behind each pass; empty without any.
    :param peak_bytes: that tensors took at one time in a step of training, the state included.
    :param parameters: SHA-256 of parameters, then buffers, as
        :func:`~chiron_stream.recipe.reference.parameters_sha256` has it.
    :param numerics: torch's version, instruction set, threads: the class that the bits are of.
    :param slots_per_round: of the policy; a rehearsal has one.
    :param learns: who would learn what of the rows in the job, in bits.
    """

    slots: tuple[RehearsedSlot, ...]
    held_out: Positions = field(repr=False)
    dropped: tuple[str, ...]
    rows_per_shard: int
    scores: tuple[Score, ...]
    peak_bytes: int
    parameters: str
    numerics: str
    slots_per_round: int
    learns: tuple[Channel, ...]

    @property
    def losses(self) -> tuple[float, ...]:
        """The loss of each step: the curve."""
        return tuple(loss for slot in self.slots for loss in slot.losses)

    @property
    def passes(self) -> tuple[tuple[float, float], ...]:
        """The mean loss and the mean norm of gradients of each pass's steps."""
        found = []
        for sweep in range(1, self.slots[-1].sweep + 1):
            slots = [one for one in self.slots if one.sweep == sweep]
            losses = [loss for one in slots for loss in one.losses]
            found.append((fmean(losses), fmean(n for one in slots for n in one.gradients)))
        return tuple(found)

    @property
    def seconds_per_step(self) -> float:
        """The median over all steps."""
        return median(one for slot in self.slots for one in slot.seconds)

    @property
    def score(self) -> Score | None:
        """The last one, if rows were held out."""
        return self.scores[-1] if self.scores else None

    def to_json(self) -> dict[str, Any]:
        """Return what a program wants, as what JSON can hold: counts instead of positions."""
        return {
            "rows": sum(len(one.rows) for one in self.slots if one.sweep == 1),
            "held_out": len(self.held_out),
            "dropped": list(self.dropped),
            "rows_per_shard": self.rows_per_shard,
            "steps": len(self.losses),
            "losses": list(self.losses),
            "passes": [{"loss": loss, "gradients": norm} for loss, norm in self.passes],
            "scores": [{"accuracy": one.accuracy, "error": one.error} for one in self.scores],
            "seconds_per_step": self.seconds_per_step,
            "peak_bytes": self.peak_bytes,
            "parameters": self.parameters,
            "numerics": self.numerics,
            "slots_per_round": self.slots_per_round,
            "learns": [vars(one) for one in self.learns],
        }

    def __str__(self) -> str:
        """Return the curve and what else there is to know."""
        return "\n".join([*self._of_rows(), *self._curve(), *self._of_run(), *learned(self.learns)])

    def _of_rows(self) -> Iterator[str]:
        first = [one for one in self.slots if one.sweep == 1]
        rows, steps = sum(len(one.rows) for one in first), sum(len(one.losses) for one in first)
        yield f"rows       {rows:,} to train on, {len(self.held_out):,} held out"
        if self.dropped:
            yield f"columns    {', '.join(self.dropped)}: not in the schema, not used"
        yield f"shards     of {self.rows_per_shard:,} rows"
        yield f"a pass     {steps:,} steps in {len(first):,} slots"
        if self.slots_per_round > 1:
            yield f"rounds     of one slot; the job merges {self.slots_per_round} in each"

    def _curve(self) -> Iterator[str]:
        found = self.passes
        most = max(loss for loss, _ in found)
        if self.scores:
            yield f"before     {self.scores[0]}"
        for number in _chosen(len(found)):
            loss, norm = found[number]
            bar = "#" * (round(WIDTH * loss / most) if most > 0 else 0)
            score = f"  {self.scores[number + 1]}" if self.scores else ""
            yield f"pass {number + 1:<5} loss {loss:<9.4g} gradients {norm:<9.3g}{score}  {bar}"

    def _of_run(self) -> Iterator[str]:
        yield f"time       {1000 * self.seconds_per_step:.3g} ms a step ({self.numerics})"
        yield f"memory     {size(self.peak_bytes)} of tensors at one time"
        yield f"parameters {self.parameters}"


def _chosen(count: int) -> list[int]:
    """Return which passes are shown, the first and the last among them."""
    if count <= SHOWN:
        return list(range(count))
    return [round(n * (count - 1) / (SHOWN - 1)) for n in range(SHOWN)]
