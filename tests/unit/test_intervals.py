"""Intervals of percentiles: what a bootstrap over turns may say, and what it may not."""

from __future__ import annotations

import numpy as np

from benchmarks.intervals import Blocks, of_percentile


def _blocks(turns: int, seed: int, factor: float = 1.0) -> Blocks:
    dice = np.random.default_rng(seed)
    found: Blocks = (factor * dice.lognormal(size=(turns, 30))).tolist()
    return found


def test_equal_series_have_a_ratio_of_one_and_no_doubt() -> None:
    blocks = _blocks(40, 0)
    assert of_percentile(blocks, blocks, 99).ratio == (1.0, 1.0)


def test_interval_holds_the_ratio_that_the_series_were_made_with() -> None:
    low, high = of_percentile(_blocks(100, 1, 1.2), _blocks(100, 2), 50).ratio
    assert 1.0 < low < 1.2 < high < 1.4


def test_more_turns_leave_less_doubt() -> None:
    few, many = (of_percentile(_blocks(n, 3), _blocks(n, 4), 50).ratio for n in (10, 160))
    assert many[1] - many[0] < few[1] - few[0]


def test_drift_of_both_series_is_no_doubt_about_their_ratio() -> None:
    steady = [[1.0] * 30] * 40
    drifting = [[float(turn)] * 30 for turn in range(1, 41)]
    found = of_percentile(drifting, drifting, 50)
    assert found.ratio == (1.0, 1.0)
    assert found.ours[0] < found.ours[1]
    assert of_percentile(steady, steady, 50).ours == (1.0, 1.0)
