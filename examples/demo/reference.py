"""The same training in plain PyTorch over the recorded plan, and what it would have answered."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from chiron_stream.graph.columns import ColumnKinds
from chiron_stream.recipe.published import DataSetName, Published
from chiron_stream.recipe.replaying import Replayed, replay
from chiron_stream.wire.receipts import Plan
from examples.demo.asking import Asked
from examples.demo.data import Data, Rows

State = Mapping[str, torch.Tensor]


@dataclass(frozen=True)
class Reference:
    """What plain PyTorch came to.

    :param rounds: digests of parameters and buffers behind each round, recorded and computed.
    :param states: parameters and buffers by version, of those that were kept.
    """

    rounds: Sequence[Replayed]
    states: Mapping[int, State]

    @property
    def parameters_sha256(self) -> str:
        """Of the last round."""
        return self.rounds[-1].computed

    @property
    def equal_rounds(self) -> int:
        """How many rounds have the bits that their plan records."""
        return sum(one.equal for one in self.rounds)


def train(
    data: Data,
    plans: Sequence[Plan],
    kinds: ColumnKinds,
    tables: Mapping[DataSetName, Rows],
    keep: Iterable[int],
) -> Reference:
    """Train by :func:`~chiron_stream.recipe.reference.reference_loop` over the plans.

    :param tables: the rows as their owners published them.
    :param keep: versions whose parameters are kept.
    """
    kept, states = set(keep), {}

    def behind(plan: Plan, module: nn.Module) -> None:
        if plan.version in kept:
            states[plan.version] = copy.deepcopy(module.state_dict())

    published = Published(tables, plans, data.pace.rows_per_shard)
    rounds = replay(data.spec, plans, kinds, published.rows_of, behind=behind)
    return Reference(rounds, states)


def different(
    data: Data, states: Mapping[int, State], answers: Iterable[Asked], batch: int
) -> list[Asked]:
    """Return the answers that plain PyTorch, with the parameters of their version, does not give.

    :param states: by version; an answer of another version is different.
    :param batch: rows that predictors compute at a time.
    """
    by_version: dict[int, list[Asked]] = {}
    for one in answers:
        by_version.setdefault(one.version, []).append(one)
    found: list[Asked] = []
    for version, asked in by_version.items():
        if version not in states:
            found += asked
            continue
        rows = sorted({one.row for one in asked})
        classes = predicted(data, states[version], data.test[data.input][rows], batch)
        known = dict(zip(rows, classes, strict=True))
        found += [one for one in asked if one.value != known[one.row]]
    return found


def predicted(data: Data, state: State, rows: npt.NDArray[Any], batch: int) -> list[str]:
    """Return the best class of each row, computed as predictors do: at one batch size, padded."""
    module = copy.deepcopy(data.spec.module)
    module.load_state_dict(state)
    module.eval()
    missing = -len(rows) % batch
    padded = np.concatenate([rows, np.repeat(rows[:1], missing, axis=0)]).astype(np.float32)
    with torch.no_grad():
        scores = [module(one) for one in torch.split(torch.from_numpy(padded), batch)]
    best = torch.cat(scores)[: len(rows)].argmax(1).tolist()
    return [data.classes[code] for code in best]
