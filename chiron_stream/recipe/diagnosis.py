"""Why training came to a number that is infinite, or none: the provider's module and line."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import torch

from chiron_stream.errors import RecipeRefused
from chiron_stream.graph.batching import batches
from chiron_stream.graph.checked import CheckedRecipe
from chiron_stream.graph.checker import program
from chiron_stream.graph.columns import Array, assemble
from chiron_stream.graph.definition import Node, references
from chiron_stream.graph.interpreter import Value, tensors_of, value_of
from chiron_stream.graph.state import ModelState
from chiron_stream.recipe.fitting import Places

_IN_TRAINING: Final = "the numbers grew in training: a smaller learning rate, or clip_norm=1.0"
_IN_GRADIENTS: Final = (
    "the loss is finite, its gradients are not: the root, norm or logarithm of 0 has no slope; "
    "add a small number inside"
)


@dataclass(frozen=True)
class Bad:
    """Where training came to such a number.

    :param slot: from 1.
    :param step: the first whose loss or gradient was not finite, in all, from 0.
    :param at_once: it was the slot's first.
    """

    slot: int
    step: int
    at_once: bool


def not_finite(
    recipe: CheckedRecipe,
    state: ModelState,
    columns: Mapping[str, Array],
    places: Places,
    bad: Bad,
) -> RecipeRefused:
    """Return the error for a slot that a job would leave out.

    :param state: that the slot began with.
    :param columns: of the slot's rows.
    """
    found = _first(recipe, state, columns)
    if found is not None:
        place = places.get("train", {}).get(found.id, "the module")
        hint = f"{place}: {found.op} makes it of these rows before any step"
    else:
        hint = _IN_GRADIENTS if bad.at_once else _IN_TRAINING
    return RecipeRefused(
        f"slot {bad.slot} would be left out: not finite from step {bad.step} on",
        code="NOT_FINITE",
        expected="finite losses, gradients and parameters",
        hint=hint,
    )


def _first(recipe: CheckedRecipe, state: ModelState, columns: Mapping[str, Array]) -> Node | None:
    """Return the node that first makes what the loss of a batch is spoilt by."""
    definition = recipe.definition
    rows = assemble(definition, columns, target=True)
    ready = program(definition, training=True)
    declared = (*definition.parameters, *definition.buffers)
    tensors = (*state.parameters, *state.buffers)
    model = {one.id: tensor.clone() for one, tensor in zip(declared, tensors, strict=True)}
    for start, stop in batches(len(rows), definition.batch_size):
        batch = {n: torch.from_numpy(one) for n, one in rows.take(slice(start, stop)).items()}
        watch = _Watch()
        with torch.no_grad():
            loss = ready.run({**model, **batch}, stop - start, watch)
        if not bool(loss.isfinite()):
            return watch.culprit
    return None


@dataclass
class _Watch:
    """Hears of each node's values; a mask may hold infinities that are meant."""

    nan: Node | None = None
    infinite: Node | None = None

    def __call__(self, node: Node, values: Mapping[int, Value]) -> None:
        given = [value_of(one, values) for one in references(node.arguments)]
        made = tensors_of(values[node.id])
        if self.nan is None and _any(made, torch.isnan) and not _any(given, torch.isnan):
            self.nan = node
        if self.infinite is None and _any(made, torch.isinf) and not _any(given, torch.isinf):
            self.infinite = node

    @property
    def culprit(self) -> Node | None:
        """What made the first number that is none; else the first infinite one."""
        return self.nan or self.infinite


def _any(tensors: Iterable[torch.Tensor], bad: Callable[[torch.Tensor], torch.Tensor]) -> bool:
    return any(bool(bad(one).any()) for one in tensors)
