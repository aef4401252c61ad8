"""Recomputing a job from its recorded plan, in plain PyTorch, round by round.

Who may do it: whoever has the auditor's key (for the plan), the rows and the provider's module. The
loop is :func:`~chiron_stream.recipe.reference.reference_loop`; what is compared are the digests of
parameters and buffers that each round's plan records. A job that goes on is computed again as far
as its plan goes: what is equal then is equal up to that round.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from torch import nn

from chiron_stream.errors import UsageRefused
from chiron_stream.graph.columns import ColumnKinds
from chiron_stream.graph.definition import Input
from chiron_stream.graph.schedules import Constant, Schedule
from chiron_stream.recipe.bindings import Columns, Example, Loss, bound_inputs, bound_target
from chiron_stream.recipe.exporting import Recipe
from chiron_stream.recipe.published import Rows
from chiron_stream.recipe.reference import Round, Slot, parameters_sha256, reference_loop
from chiron_stream.recipe.settings import OptimizerFactory
from chiron_stream.wire.receipts import Plan, PlannedShard, PlannedSlot

_DTYPES: Final[Mapping[str, npt.DTypeLike]] = {"f32": np.float32, "i64": np.int64}


@dataclass(frozen=True)
class Spec:
    """What a recipe is made of; the arguments are those of :meth:`Recipe.export`.

    ``module`` is the initial module: replaying trains a copy.
    """

    module: nn.Module
    loss: Loss
    inputs: Mapping[str, Columns]
    target: str
    optimizer: OptimizerFactory
    schedule: Schedule = field(default_factory=Constant)
    batch_size: int = 128
    clip_norm: float | None = None
    example: Example | None = None

    def export(self, columns: ColumnKinds) -> Recipe:
        """Return the recipe to publish.

        :param columns: of the job's schema.
        """
        return Recipe.export(
            self.module,
            loss=self.loss,
            inputs=self.inputs,
            target=self.target,
            optimizer=self.optimizer,
            schedule=self.schedule,
            batch_size=self.batch_size,
            clip_norm=self.clip_norm,
            columns=columns,
            example=self.example,
        )

    def arrays(self, rows: Rows, kinds: ColumnKinds) -> tuple[Rows, npt.NDArray[Any]]:
        """Return what a plain loop trains on: inputs by name, and the target.

        :param rows: by column.
        :param kinds: of the job's schema.
        """
        example = self.example or {}
        inputs = bound_inputs(self.inputs, kinds, example)
        target = bound_target(len(inputs), self.target, self.loss, kinds, example)
        named = zip(self.inputs, inputs, strict=True)
        return {name: _array(rows, one) for name, one in named}, _array(rows, target)


@dataclass(frozen=True)
class Replayed:
    """One round: the digest that the plan records, and the one computed again."""

    round: int
    recorded: str
    computed: str

    @property
    def equal(self) -> bool:
        """Whether the bits are the same."""
        return self.recorded == self.computed


def _unseen(_plan: Plan, _module: nn.Module) -> None:
    """Keep nothing of a round."""


def replay(
    spec: Spec,
    plans: Sequence[Plan],
    kinds: ColumnKinds,
    rows_of: Callable[[PlannedShard], Rows],
    done: Callable[[Replayed], None] = lambda _one: None,
    *,
    behind: Callable[[Plan, nn.Module], None] = _unseen,
) -> list[Replayed]:
    """Train again, round by round, until the end or the first round that differs.

    Set this process up like a worker first: one thread, denormals flushed
    (:func:`chiron_stream.graph.numerics.configure_numerics`).

    :param plans: of all rounds so far, in order.
    :param rows_of: the rows of a planned shard, as its owner published them.
    :param done: called behind each round.
    :param behind: called with the plan of each round and the module as that round left it; the next
        round goes on with the same module, so whoever wants to keep its parameters copies them.
    :raises UsageRefused: rows of another number than the plan has.
    """
    module = copy.deepcopy(spec.module)
    found: list[Replayed] = []

    def note(plan: Plan) -> bool:
        one = Replayed(plan.round, plan.parameters.hex(), _digest(module, spec.loss))
        found.append(one)
        behind(plan, module)
        done(one)
        return one.equal

    def rounds() -> Iterator[Round]:
        for number, plan in enumerate(plans):
            if number and not note(plans[number - 1]):
                return
            yield _round(spec, plan, kinds, rows_of)

    reference_loop(
        module,
        spec.loss,
        spec.optimizer,
        spec.schedule,
        rounds(),
        clip_norm=spec.clip_norm,
    )
    if plans and len(found) == len(plans) - 1 and all(one.equal for one in found):
        note(plans[-1])
    return found


def _digest(module: nn.Module, loss: Loss) -> str:
    return parameters_sha256(module, *([loss] if isinstance(loss, nn.Module) else []))


def _round(
    spec: Spec, plan: Plan, kinds: ColumnKinds, rows_of: Callable[[PlannedShard], Rows]
) -> Round:
    slots = [_slot(spec, plan.round, slot, kinds, rows_of) for slot in plan.slots]
    return Round(slots, spec.batch_size)


def _slot(
    spec: Spec,
    number: int,
    slot: PlannedSlot,
    kinds: ColumnKinds,
    rows_of: Callable[[PlannedShard], Rows],
) -> Slot:
    parts = [rows_of(shard) for shard in slot.shards]
    for shard, part in zip(slot.shards, parts, strict=True):
        got = len(next(iter(part.values())))
        if got != shard.rows:
            raise UsageRefused(
                f"shard {shard.number} of {shard.data_set} has other rows in round {number}",
                expected=f"{shard.rows} rows, as published",
                got=f"{got} rows",
            )
    rows = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    inputs, target = spec.arrays(rows, kinds)
    return Slot(inputs, target, slot.seed)


def _array(rows: Rows, one: Input) -> npt.NDArray[Any]:
    parts = [rows[name].astype(_DTYPES[one.dtype]) for name in one.columns]
    return np.stack(parts, axis=1) if one.stacked else parts[0]
