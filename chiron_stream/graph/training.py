"""One slot of training: rows in, a new state out, the same bits wherever it runs.

The arithmetic is that of a plain PyTorch loop: ``torch.manual_seed`` at the slot's start, rows in
the order of ``torch.randperm`` from a generator of the same seed, batches of ``batch_size`` where
a remainder of one row joins the batch before, gradients by autograd, scaled down where the recipe
says so, the optimizer of ``torch.optim``, its rate times the schedule's factor at the global step
(:func:`chiron_stream.recipe.reference.reference_loop` is that loop).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch

from chiron_stream.errors import RecipeRefused
from chiron_stream.graph.batching import batches
from chiron_stream.graph.checked import CheckedRecipe
from chiron_stream.graph.checker import program
from chiron_stream.graph.columns import Array, assemble
from chiron_stream.graph.interpreter import TORCH_REFUSES, Program
from chiron_stream.graph.optimizers import Moments
from chiron_stream.graph.state import ModelState, OptimizerState

OnStep = Callable[[int], None]

Measure = Callable[[float, float], None]
"""Hears of each step, in order: its loss, and the norm of its gradients before they are clipped."""


def train_slot(
    recipe: CheckedRecipe,
    state: ModelState,
    columns: Mapping[str, Array],
    *,
    seed: int,
    first_step: int,
    on_step: OnStep = lambda _step: None,
    measure: Measure | None = None,
) -> ModelState:
    """Return the state after one pass over the rows. ``state`` stays as it is.

    :param columns: as for :func:`~chiron_stream.graph.columns.assemble`, target included.
    :param seed: of the slot, 0 to 2⁶⁴-1: decides the order of rows and what dropout draws.
    :param first_step: the global number of the slot's first step, from 0.
    :param on_step: called with the global number of each finished step.
    :param measure: changes nothing of the state; without it nothing is measured.
    :raises SchemaMismatch: GRAPH_ROWS: columns that do not fit, or fewer than two rows.
    :raises RecipeRefused: GRAPH_RUN: the graph does not run on these rows, such as a category
        beyond the table of an embedding. A loss that is no number is no error: see
        :func:`~chiron_stream.graph.state.finite`.
    """
    rows = assemble(recipe.definition, columns, target=True)
    bounds = list(batches(len(rows), recipe.definition.batch_size))
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed)).numpy()
    run = _Run(recipe, state, measure)
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.default_generator.manual_seed(seed)
        for step, (start, stop) in enumerate(bounds, first_step):
            batch = rows.take(order[start:stop])
            run.step({one: torch.from_numpy(array) for one, array in batch.items()}, step)
            on_step(step)
    return run.state()


def clipped(gradients: tuple[torch.Tensor, ...], most: float) -> tuple[torch.Tensor, ...]:
    """Return the gradients, scaled so that their norm, all together, is at most ``most``.

    ``torch.nn.utils.clip_grad_norm_`` with its defaults, bit for bit, but for not changing its
    arguments: two parameters may share one gradient. A norm that is no number scales by it.
    """
    dense = tuple(one.contiguous() for one in gradients)
    scale = torch.clamp(most / (total_norm(dense) + 1e-6), max=1.0)
    return tuple(one * scale for one in dense)


def total_norm(gradients: tuple[torch.Tensor, ...]) -> torch.Tensor:
    """Return the norm of all gradients together, as ``torch.nn.utils.get_total_norm`` does."""
    norms = torch.stack([torch.linalg.vector_norm(one.contiguous(), 2.0) for one in gradients])
    total: torch.Tensor = torch.linalg.vector_norm(norms, 2.0)
    return total


class _Run:
    """A slot under way: tensors of its own, changed in place."""

    def __init__(self, recipe: CheckedRecipe, state: ModelState, measure: Measure | None) -> None:
        definition = recipe.definition
        self._definition = definition
        self._measure = measure
        self._trained = recipe.trained
        self._program: Program = program(definition, training=True)
        pairs = zip(definition.parameters, state.parameters, strict=True)
        self._model = {one.id: tensor.clone() for one, tensor in pairs}
        for one in recipe.trained:
            self._model[one].requires_grad_()
        buffers = zip(definition.buffers, state.buffers, strict=True)
        self._model.update((one.id, tensor.clone()) for one, tensor in buffers)
        self._steps = state.optimizer.steps if state.optimizer else 0
        self._moments = _by_parameter(state.optimizer, len(recipe.trained))

    def step(self, batch: Mapping[int, torch.Tensor], number: int) -> None:
        """Forward, backward, and the optimizer's step with the global number ``number``."""
        rows = len(next(iter(batch.values())))
        loss = self._program.run({**self._model, **batch}, rows)
        gradients = self._backward(loss)
        factor = self._definition.schedule.at(number)
        self._steps += 1
        with torch.no_grad():
            if self._measure is not None:
                self._measure(float(loss), float(total_norm(gradients)))
            if self._definition.clip_norm is not None:
                gradients = clipped(gradients, self._definition.clip_norm)
            for n, (one, gradient) in enumerate(zip(self._trained, gradients, strict=True)):
                self._moments[n] = self._definition.optimizer.step(
                    self._model[one], gradient, self._moments[n], factor, self._steps
                )

    def state(self) -> ModelState:
        """Return what the run came to."""
        definition = self._definition
        slots = range(len(definition.optimizer.slots))
        moments = tuple(tuple(one[n] for one in self._moments if one) for n in slots)
        return ModelState(
            tuple(self._model[one.id].detach() for one in definition.parameters),
            tuple(self._model[one.id] for one in definition.buffers),
            OptimizerState(self._steps, moments),
        )

    def _backward(self, loss: torch.Tensor) -> tuple[torch.Tensor, ...]:
        try:
            return torch.autograd.grad(loss, [self._model[one] for one in self._trained])
        except TORCH_REFUSES:
            message = "train graph, backward, does not run on these rows"
            raise RecipeRefused(message, code="GRAPH_RUN") from None


def _by_parameter(optimizer: OptimizerState | None, count: int) -> list[Moments | None]:
    if optimizer is None:
        return [None] * count
    return [tuple(slot[n].clone() for slot in optimizer.moments) for n in range(count)]
