"""Measures: what training may tell of itself, on grids that are fixed and public.

A loss is told in ``bits`` bits on a logarithmic grid: 2^bits levels of equal width in log2, from
2^-16 to 2^16; what lies outside is the first or the last level. The norm of a gradient is told as
one of 32 powers of two, from 2^-16 to 2^15. The levels of several slots come to one by a mean that
is weighted with their rows and rounded once, a half upwards, in whole numbers.

A score of a label is a count. A score of a target is the root of its mean squared error, as a share
of the target's range, in steps of 2^-16.

>>> level_of(1.0, 5), level_of(3.0, 5), level_of(0.0, 5)
(16, 17, 0)
>>> loss_range(17, 5)
(2.0, 4.0)
>>> combined([(3, 100), (4, 100)])
4
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from chiron_stream.job.disclosure import LARGEST_GRADIENT, VOID_MOST
from chiron_stream.job.schema import Column, LabelColumn

LOSS_OCTAVES: Final = 16
"""The grid of losses begins at 2^-16 and ends at 2^16."""

GRADIENT_OCTAVES: Final = 16
"""The lowest bucket of gradients ends at 2^-15: bucket n begins at 2^(n - 16)."""

ERROR_STEPS: Final = 2**16
"""Steps of an error of 1: of the whole range of a target."""


def level_of(loss: float, bits: int) -> int:
    """Return the level of a loss, 0 to 2^bits - 1; what is no number has the highest."""
    levels = 1 << bits
    if math.isnan(loss) or loss == math.inf:
        return levels - 1
    if loss <= 0:
        return 0
    place = (math.log2(loss) + LOSS_OCTAVES) * levels / (2 * LOSS_OCTAVES)
    return min(levels - 1, max(0, math.floor(place)))


def loss_range(level: int, bits: int) -> tuple[float, float]:
    """Return where a level begins and ends; the first holds all below, the last all above."""
    width = 2 * LOSS_OCTAVES / (1 << bits)
    begin = level * width - LOSS_OCTAVES
    return math.exp2(begin), math.exp2(begin + width)


def bucket_of(norm: float) -> int:
    """Return the bucket of a gradient's norm; what is no number has the highest."""
    if math.isnan(norm) or math.isinf(norm):
        return LARGEST_GRADIENT
    if norm <= 0:
        return 0
    return min(LARGEST_GRADIENT, max(0, math.frexp(norm)[1] - 1 + GRADIENT_OCTAVES))


def gradient_range(bucket: int) -> tuple[float, float]:
    """Return where a bucket begins and ends; the first holds all below, the last all above."""
    return 2.0 ** (bucket - GRADIENT_OCTAVES), 2.0 ** (bucket + 1 - GRADIENT_OCTAVES)


def combined(levels: Sequence[tuple[int, int]]) -> int:
    """Return the mean of levels, weighted with rows, rounded once, a half upwards.

    :param levels: pairs of a slot's level and rows.
    """
    total = sum(rows for _, rows in levels)
    return (2 * sum(level * rows for level, rows in levels) + total) // (2 * total)


def void_count(shards: int) -> int:
    """Return how many VOID shards a report tells of."""
    return min(shards, VOID_MOST)


def largest_score(target: Column, rows: int) -> int:
    """Return the largest value that a score on so many rows may have."""
    return rows if isinstance(target, LabelColumn) else ERROR_STEPS


def score_bits(target: Column, rows: int) -> int:
    """Return the bits of a score on so many rows: those of the largest value it may have."""
    return largest_score(target, rows).bit_length()


class Measured:
    """Gathers a slot's steps; called with each one's loss and norm of gradients."""

    def __init__(self) -> None:
        self._losses: list[float] = []
        self._norms: list[float] = []

    def __call__(self, loss: float, norm: float) -> None:
        """Take a step."""
        self._losses.append(loss)
        self._norms.append(norm)

    def levels(self, bits: int) -> tuple[int, int]:
        """Return level and bucket of the means: sums rounded once, divided by the steps."""
        return level_of(_mean(self._losses), bits), bucket_of(_mean(self._norms))


def _mean(values: Sequence[float]) -> float:
    if not all(math.isfinite(one) for one in values):
        return math.nan
    return math.fsum(values) / len(values)
