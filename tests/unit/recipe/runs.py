"""The same rounds through a recipe and through the reference loop."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import nn

from chiron_stream.graph import state, training
from chiron_stream.graph.batching import number_of_steps
from chiron_stream.graph.checked import CheckedRecipe
from chiron_stream.graph.columns import Array
from chiron_stream.graph.schedules import Constant, Schedule
from chiron_stream.recipe import Recipe, Round, Slot, parameters_sha256, reference_loop
from chiron_stream.recipe.bindings import Loss
from chiron_stream.recipe.settings import OptimizerFactory
from tests.unit.core.states import merge_states

SLOTS = ((65, 11), (33, 12), (2, 13), (48, 14))
"""Rows and seed of each slot; each is a round of its own."""

Rounds = tuple[tuple[tuple[int, int], ...], ...]
"""Rows and seed of each slot of each round."""

NUMBERS = ("age", "bp", "hr")


def columns(count: int, seed: int, *, classes: int = 2) -> dict[str, Array]:
    """Return three numbers, a category "site", a label "y" and a target "z"."""
    dice = np.random.default_rng(seed)
    found: dict[str, Array] = {
        name: dice.standard_normal(count, dtype=np.float32) for name in NUMBERS
    }
    found["site"] = dice.integers(0, 5, count)
    found["y"] = dice.integers(0, classes, count)
    found["z"] = dice.standard_normal(count, dtype=np.float32)
    return found


@dataclass(frozen=True)
class Case:
    """A model with what it takes to train it.

    :param rows: columns by count and seed.
    :param slots: rows and seed of each, where every round has one.
    :param several: rows and seed of each slot of each round, where rounds have several.
    """

    module: nn.Module
    loss: Loss
    optimizer: OptimizerFactory
    inputs: Mapping[str, str | Sequence[str]]
    target: str
    batch_size: int = 16
    schedule: Schedule = field(default_factory=Constant)
    clip_norm: float | None = None
    example: Mapping[str, torch.Tensor] | None = None
    rows: Callable[[int, int], Mapping[str, Array]] = columns
    slots: tuple[tuple[int, int], ...] = SLOTS
    several: Rounds = ()

    @property
    def rounds(self) -> Rounds:
        return self.several or tuple((one,) for one in self.slots)

    def export(self) -> Recipe:
        return Recipe.export(
            self.module,
            loss=self.loss,
            inputs=self.inputs,
            target=self.target,
            optimizer=self.optimizer,
            schedule=self.schedule,
            clip_norm=self.clip_norm,
            batch_size=self.batch_size,
            example=self.example,
        )

    def ours(self, recipe: Recipe) -> str:
        """Train by slots, through the bytes of the state between rounds; return the digest."""
        data = state.dump(state.initial(recipe.checked, recipe.weights))
        step = 0
        for slots in self.rounds:
            before = state.load(recipe.checked, data)
            updates = [
                training.train_slot(
                    recipe.checked, before, self.rows(count, seed), seed=seed, first_step=step
                )
                for count, seed in slots
            ]
            rows = [count for count, _ in slots]
            data = merged(recipe.checked, data, [state.dump(one) for one in updates], rows)
            step += max(number_of_steps(count, self.batch_size) for count in rows)
        return state.parameters_digest(state.load(recipe.checked, data)).hex()

    def theirs(self) -> str:
        """Train by the reference loop; return the digest."""
        trained = self.trained()
        losses = [self.loss] if isinstance(self.loss, nn.Module) else []
        return parameters_sha256(trained, *losses)

    def trained(self) -> nn.Module:
        """Train by the reference loop; return the module."""
        module = copy.deepcopy(self.module)
        rounds = [
            Round([self.slot(count, seed) for count, seed in slots], self.batch_size)
            for slots in self.rounds
        ]
        return reference_loop(
            module, self.loss, self.optimizer, self.schedule, rounds, clip_norm=self.clip_norm
        )

    def slot(self, count: int, seed: int) -> Slot:
        table = self.rows(count, seed)
        inputs = {
            name: table[one] if isinstance(one, str) else np.stack([table[n] for n in one], 1)
            for name, one in self.inputs.items()
        }
        return Slot(inputs, table[self.target], seed)


def merged(
    checked: CheckedRecipe, base: bytes, updates: Sequence[bytes], rows: Sequence[int]
) -> bytes:
    """Merge the slots of a round as the coordinator does."""
    return merge_states(checked, base, updates, rows)


def seeded(kind: Callable[[], nn.Module]) -> nn.Module:
    """Return a module whose first weights are always the same."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return kind()
