"""The loop that training must equal bit for bit: plain ``torch.nn`` and ``torch.optim``.

Nothing of this package computes here. Of ours are only the closed form of the schedule, which
``LambdaLR`` calls, and the plan: which rows in which rounds, under which seeds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt
import torch
from torch import nn

from chiron_stream.graph.schedules import Schedule
from chiron_stream.recipe.bindings import Loss
from chiron_stream.recipe.settings import OptimizerFactory


@dataclass(frozen=True)
class Round:
    """A round of one slot, as the plan records it.

    :param inputs: arrays ``[rows, ...]`` by the names of ``forward()``'s parameters.
    :param target: array ``[rows]``.
    :param seed: of the slot.
    :param batch_size: of the recipe.
    """

    inputs: Mapping[str, npt.NDArray[Any]]
    target: npt.NDArray[Any]
    seed: int
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
    made = optimizer(module.parameters())
    scheduler = torch.optim.lr_scheduler.LambdaLR(made, schedule.at)
    for one in rounds:
        torch.manual_seed(one.seed)
        rows = len(one.target)
        order = torch.randperm(rows, generator=torch.Generator().manual_seed(one.seed))
        inputs = {name: torch.tensor(array) for name, array in one.inputs.items()}
        target = torch.tensor(one.target)
        for chosen in _batches(order, one.batch_size):
            made.zero_grad()
            predicted = module(**{name: array[chosen] for name, array in inputs.items()})
            loss(predicted, target[chosen]).backward()
            if clip_norm is not None:
                nn.utils.clip_grad_norm_(module.parameters(), clip_norm)
            made.step()
            scheduler.step()
    return module


def parameters_sha256(*modules: nn.Module) -> str:
    """Return the digest of parameters, then buffers, in the order that torch names them.

    :param modules: the module, and the loss if it has buffers.
    """
    digest = hashlib.sha256()
    parameters = [tensor for one in modules for tensor in one.parameters()]
    buffers = [tensor for one in modules for tensor in one.buffers()]
    for tensor in (*parameters, *buffers):
        digest.update(tensor.detach().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _batches(order: torch.Tensor, batch_size: int) -> list[torch.Tensor]:
    """Split the order of rows; a remainder of one row joins the batch before."""
    parts = list(torch.split(order, batch_size))
    if len(parts) > 1 and len(parts[-1]) == 1:
        last = parts.pop()
        parts[-1] = torch.cat([parts[-1], last])
    return parts
