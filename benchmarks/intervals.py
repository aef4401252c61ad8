"""Confidence intervals of percentiles of two interleaved series, and of their ratio.

The bootstrap draws whole turns, with replacement, and both series' blocks of a turn together: so
samples of one block may depend on each other, and what drifts drifts for both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

RESAMPLES: Final = 2_000
CONFIDENCE: Final = 0.95
SEED: Final = 7

Span = tuple[float, float]
Blocks = Sequence[Sequence[float]]
Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Intervals:
    """95 % intervals of a figure, of the baseline's, and of the ratio, each low and high."""

    ours: Span
    baseline: Span
    ratio: Span


def of_percentile(ours: Blocks, baseline: Blocks, percent: float) -> Intervals:
    """Return the intervals of a percentile, in the sense of nearest rank.

    :param ours: blocks of equal length, one a turn.
    :param baseline: those of the same turns.
    """
    turns = len(ours)
    draws = np.random.default_rng(SEED).integers(turns, size=(RESAMPLES, turns))
    first, second = (_percentiles(np.array(one), draws, percent) for one in (ours, baseline))
    return Intervals(_span(first), _span(second), _span(first / second))


def _percentiles(blocks: Array, draws: Array, percent: float) -> Array:
    """Return the percentile of each draw of blocks; one after another, for the memory's sake."""
    rank = max(0, int(np.ceil(blocks.size * percent / 100)) - 1)
    return np.array([np.partition(blocks[draw], rank, axis=None)[rank] for draw in draws])


def _span(values: Array) -> Span:
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(values, (tail, 1 - tail))
    return float(low), float(high)
