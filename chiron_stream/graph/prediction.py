"""Answers: the eval graph at one batch size, so that neighbours change no bit."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from chiron_stream.errors import BugFound, SchemaMismatch
from chiron_stream.graph.checked import CheckedRecipe
from chiron_stream.graph.checker import program
from chiron_stream.graph.columns import Array, Rows, assemble
from chiron_stream.graph.interpreter import Program
from chiron_stream.graph.state import ModelState


def predict(
    recipe: CheckedRecipe, state: ModelState, columns: Mapping[str, Array], batch: int
) -> Array:
    """Return the predictions, float32 ``[rows, *recipe.output_shape]``.

    Every run has ``batch`` rows, the last one padded with its first row: kernels choose their
    ways by size, so that a row's bits are the same wherever it stands and whatever stands beside
    it, as long as ``batch`` and the numerics class are the same and the recipe's eval graph does
    not itself mix rows.

    :param columns: as for :func:`~chiron_stream.graph.columns.assemble`, without the target.
    :param batch: rows of a run, 2 to the limit that the recipe was checked at.
    :raises SchemaMismatch: GRAPH_ROWS: columns that do not fit, or no rows.
    :raises RecipeRefused: GRAPH_RUN: the graph does not run on these rows.
    """
    if not 2 <= batch <= recipe.limits.prediction_batch:
        raise BugFound("not a batch of predictions that the check covers", got=f"{batch}")
    definition = recipe.definition
    rows = assemble(definition, columns, target=False)
    if not len(rows):
        raise SchemaMismatch("there are no rows", code="GRAPH_ROWS", expected="1", got="0")
    ready = program(definition, training=False)
    model = _model(recipe, state)
    with torch.no_grad():
        made = [_run(ready, model, rows, start, batch) for start in range(0, len(rows), batch)]
    return np.concatenate(made)


def _run(
    ready: Program, model: Mapping[int, torch.Tensor], rows: Rows, start: int, batch: int
) -> Array:
    part = rows.take(slice(start, start + batch))
    inputs = {one: _padded(array, batch) for one, array in part.items()}
    count = min(batch, len(rows) - start)
    return ready.run({**model, **inputs}, batch)[:count].contiguous().numpy()


def _padded(array: Array, batch: int) -> torch.Tensor:
    missing = batch - len(array)
    whole = np.concatenate([array, np.repeat(array[:1], missing, axis=0)])
    return torch.from_numpy(whole)


def _model(recipe: CheckedRecipe, state: ModelState) -> dict[int, torch.Tensor]:
    definition = recipe.definition
    declared = (*definition.parameters, *definition.buffers)
    tensors = (*state.parameters, *state.buffers)
    return {one.id: tensor for one, tensor in zip(declared, tensors, strict=True)}
