"""How good a release is on one owner's rows: counts in whole numbers, block by block.

What is compared is what a client would be answered in the finest form: the best class, the first of
several; a target within its range, and what is no number at the beginning of it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Final

import numpy as np

from chiron_stream.graph import prediction
from chiron_stream.graph.checked import CheckedRecipe
from chiron_stream.graph.state import ModelState
from chiron_stream.job.columns import Array
from chiron_stream.job.measures import ERROR_STEPS
from chiron_stream.job.schema import Column, TargetColumn

BLOCK: Final = 64
"""Batches of one block: between two blocks a trainer shows that it moves."""

_ONE: Final = ERROR_STEPS**2
"""A squared error of 1."""


def blocks(
    recipe: CheckedRecipe,
    model: ModelState,
    columns: Mapping[str, Array],
    target: Column,
    batch: int,
) -> Iterator[int]:
    """Yield what each block of a shard adds to the tally that :func:`score` reads.

    :param columns: of the shard, target included; ``batch``: rows of a run, as predictors have.
    :raises RecipeRefused: GRAPH_RUN: the graph does not run on these rows.
    """
    wanted = columns[target.name]
    for start in range(0, len(wanted), batch * BLOCK):
        part = slice(start, start + batch * BLOCK)
        inputs = {name: array[part] for name, array in columns.items()}
        found = prediction.predict(recipe, model, inputs, batch)
        yield _tally(found.reshape(len(found), -1), wanted[part], target)


def score(target: Column, tally: int, rows: int) -> int:
    """Return correct predictions, or the root of the mean squared error in steps, rounded down."""
    return math.isqrt(tally // rows) if isinstance(target, TargetColumn) else tally


def _tally(found: Array, wanted: Array, target: Column) -> int:
    """Return correct rows, or the sum of squared errors, each rounded to a multiple of 2^-32."""
    if not isinstance(target, TargetColumn):
        best = np.argmax(np.where(np.isnan(found), -np.inf, found), axis=1)
        return int(np.count_nonzero(best == wanted))
    width = target.high - target.low
    shares = np.clip((found[:, 0].astype(np.float64) - target.low) / width, 0.0, 1.0)
    shares = np.where(np.isnan(shares), 0.0, shares)
    errors = shares - (wanted.astype(np.float64) - target.low) / width
    return int(np.rint(errors * errors * _ONE).astype(np.int64).sum())
