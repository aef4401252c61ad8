"""The loop that training must equal bit for bit: plain ``torch.nn`` and ``torch.optim``.

Nothing of this package computes here. Of ours are only the closed form of the schedule, which
``LambdaLR`` calls, and the plan: which rows in which slots of which rounds, under which seeds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt
import torch
from torch import nn

from chiron_stream.graph.schedules import Schedule
from chiron_stream.recipe.bindings import Loss
from chiron_stream.recipe.settings import OptimizerFactory


@dataclass(frozen=True)
class Slot:
    """One pass over some rows, as the plan records it.

    :param inputs: arrays ``[rows, ...]`` by the names of ``forward()``'s parameters.
    :param target: array ``[rows]``.
    :param seed: of the slot.
    """

    inputs: Mapping[str, npt.NDArray[Any]]
    target: npt.NDArray[Any]
    seed: int


@dataclass(frozen=True)
class Round:
    """Slots that begin with the same state and are merged in their order.

    :param slots: at least one.
    :param batch_size: of the recipe.
    """

    slots: Sequence[Slot]
    batch_size: int


def reference_loop(
    module: nn.Module,
    loss: Loss,
    optimizer: OptimizerFactory,
    schedule: Schedule,
    rounds: Iterable[Round],
    *,
    clip_norm: float | None = None,
) -> nn.Module:
    """Train ``module`` in place over the rounds, and return it.

    :param clip_norm: of all gradients together, at most: ``torch.nn.utils.clip_grad_norm_``.
    """
    module.train()
    loop = _Loop(module, loss, optimizer(module.parameters()), schedule, clip_norm)
    step = 0
    for one in rounds:
        if len(one.slots) == 1:
            step += loop.train(one.slots[0], one.batch_size, step)
            continue
        base, ends, steps = loop.copy(), [], []
        for slot in one.slots:
            loop.put(base)
            steps.append(loop.train(slot, one.batch_size, step))
            ends.append(loop.copy())
        loop.put(_merged(base, ends, [len(slot.target) for slot in one.slots]))
        step += max(steps)
    return module


def parameters_sha256(*modules: nn.Module) -> str:
    """Return the digest of parameters, then buffers, in the order that torch names them.

    :param modules: the module, and the loss if it has buffers.
    """
    digest = hashlib.sha256()
    for tensor in _tensors(*modules):
        digest.update(_bytes(tensor))
    return digest.hexdigest()


@dataclass(frozen=True)
class _State:
    """A copy of parameters and buffers, and of what the optimizer keeps for each parameter."""

    model: Sequence[torch.Tensor]
    kept: Mapping[torch.Tensor, Mapping[str, torch.Tensor]]


@dataclass(frozen=True)
class _Loop:
    """A module in training."""

    module: nn.Module
    loss: Loss
    optimizer: torch.optim.Optimizer
    schedule: Schedule
    clip_norm: float | None

    def train(self, slot: Slot, batch_size: int, first: int) -> int:
        """Pass over a slot's rows, from global step ``first`` on; return how many steps it took."""
        scheduler = torch.optim.lr_scheduler.LambdaLR(
            self.optimizer, self.schedule.at, last_epoch=first - 1
        )
        torch.manual_seed(slot.seed)
        shuffle = torch.Generator().manual_seed(slot.seed)
        order = torch.randperm(len(slot.target), generator=shuffle)
        inputs = {name: torch.tensor(array) for name, array in slot.inputs.items()}
        target = torch.tensor(slot.target)
        batches = _batches(order, batch_size)
        for chosen in batches:
            self.optimizer.zero_grad()
            predicted = self.module(**{name: array[chosen] for name, array in inputs.items()})
            self.loss(predicted, target[chosen]).backward()
            if self.clip_norm is not None:
                nn.utils.clip_grad_norm_(self.module.parameters(), self.clip_norm)
            self.optimizer.step()
            scheduler.step()
        return len(batches)

    def copy(self) -> _State:
        """Return the state, for :meth:`put`."""
        kept = self.optimizer.state.items()
        return _State(
            [one.detach().clone() for one in self._tensors()],
            {one: {name: value.clone() for name, value in of.items()} for one, of in kept},
        )

    def put(self, state: _State) -> None:
        """Go on from a state."""
        with torch.no_grad():
            for one, value in zip(self._tensors(), state.model, strict=True):
                one.copy_(value)
        self.optimizer.state.clear()
        for parameter, of in state.kept.items():
            copied = {name: value.clone() for name, value in of.items()}
            self.optimizer.state[parameter] = copied

    def _tensors(self) -> Iterator[torch.Tensor]:
        losses = [self.loss] if isinstance(self.loss, nn.Module) else []
        return _tensors(self.module, *losses)


def _merged(base: _State, ends: Sequence[_State], rows: Sequence[int]) -> _State:
    """Merge what the slots of a round came to, in their order.

    Whole numbers and the optimizer's ``step`` count, all other values are averaged by rows.
    """
    model = [
        _value(before, values, rows, counts=not before.is_floating_point())
        for before, *values in zip(base.model, *(end.model for end in ends), strict=True)
    ]
    kept = {
        one: {
            name: _value(
                base.kept.get(one, {}).get(name),
                [end.kept[one][name] for end in ends],
                rows,
                counts=name == "step",
            )
            for name in of
        }
        for one, of in ends[0].kept.items()
    }
    return _State(model, kept)


def _value(
    base: torch.Tensor | None,
    values: Sequence[torch.Tensor],
    rows: Sequence[int],
    *,
    counts: bool,
) -> torch.Tensor:
    """Merge one tensor; what no slot changed is the base's."""
    if base is not None and all(_bytes(one) == _bytes(base) for one in values):
        return base
    if counts:
        start = torch.zeros_like(values[0]) if base is None else base
        return start + torch.stack([one - start for one in values]).amax(0)
    total = rows[0] * values[0].double()
    for count, one in zip(rows[1:], values[1:], strict=True):
        total += count * one.double()
    return (total / sum(rows)).to(values[0].dtype)


def _tensors(*modules: nn.Module) -> Iterator[torch.Tensor]:
    for one in modules:
        yield from one.parameters()
    for one in modules:
        yield from one.buffers()


def _bytes(tensor: torch.Tensor) -> bytes:
    return tensor.detach().contiguous().numpy().tobytes()


def _batches(order: torch.Tensor, batch_size: int) -> list[torch.Tensor]:
    """Split the order of rows; a remainder of one row joins the batch before."""
    parts = list(torch.split(order, batch_size))
    if len(parts) > 1 and len(parts[-1]) == 1:
        last = parts.pop()
        parts[-1] = torch.cat([parts[-1], last])
    return parts
