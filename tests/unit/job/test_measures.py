"""Measures: fixed grids, rounded once, in whole numbers."""

from __future__ import annotations

import doctest
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chiron_stream.job import measures
from chiron_stream.job.disclosure import LARGEST_GRADIENT, MAX_PROGRESS_BITS, VOID_MOST
from chiron_stream.job.measures import (
    Measured,
    bucket_of,
    combined,
    gradient_range,
    largest_score,
    level_of,
    loss_range,
    score_bits,
    void_count,
)
from tests.unit.job.builders import REGRESSION, SCHEMA

bits_of = st.integers(1, MAX_PROGRESS_BITS)


def test_examples_run() -> None:
    failed, tried = doctest.testmod(measures)
    assert (failed, tried) == (0, 3)


@given(loss=st.floats(), bits=bits_of)
def test_level_is_on_its_grid_whatever_the_loss(loss: float, bits: int) -> None:
    assert 0 <= level_of(loss, bits) < 2**bits


@given(loss=st.floats(2**-15.9, 2**15.9), bits=bits_of)
def test_level_s_range_has_the_loss(loss: float, bits: int) -> None:
    low, high = loss_range(level_of(loss, bits), bits)
    assert low * (1 - 1e-12) <= loss < high * (1 + 1e-12)


@given(a=st.floats(0, 1e9), b=st.floats(0, 1e9), bits=bits_of)
def test_levels_keep_the_order_of_losses(a: float, b: float, bits: int) -> None:
    low, high = sorted((a, b))
    assert level_of(low, bits) <= level_of(high, bits)


@pytest.mark.parametrize(
    ("loss", "level"),
    [(0.0, 0), (-5.0, 0), (2**-17, 0), (2**17, 255), (math.inf, 255), (math.nan, 255), (1.0, 128)],
)
def test_loss_off_the_grid_has_its_end(loss: float, level: int) -> None:
    assert level_of(loss, 8) == level


@pytest.mark.parametrize(
    ("norm", "bucket"),
    [(0.0, 0), (1.0, 16), (1.99, 16), (2.0, 17), (1e-30, 0), (1e30, 31), (math.nan, 31)],
)
def test_bucket_is_the_power_of_two(norm: float, bucket: int) -> None:
    assert bucket_of(norm) == bucket


@given(norm=st.floats(2**-16, 2**15.9))
def test_bucket_s_range_has_the_norm(norm: float) -> None:
    low, high = gradient_range(bucket_of(norm))
    assert low <= norm < high


def test_there_is_no_bucket_above_the_largest() -> None:
    assert bucket_of(math.inf) == LARGEST_GRADIENT


@given(st.lists(st.tuples(st.integers(0, 255), st.integers(2, 10**7)), min_size=1, max_size=8))
def test_combined_lies_between_and_is_the_nearest_whole_number(
    levels: list[tuple[int, int]],
) -> None:
    found, total = combined(levels), sum(rows for _, rows in levels)
    exact = sum(level * rows for level, rows in levels)
    assert 2 * abs(found * total - exact) <= total
    assert min(one for one, _ in levels) <= found <= max(one for one, _ in levels)


def test_a_half_is_rounded_upwards() -> None:
    assert combined([(3, 10), (4, 10)]) == 4
    assert combined([(7, 10)]) == 7


def test_mean_of_steps_is_rounded_once() -> None:
    measured = Measured()
    for loss in (1e16, 1.0, -1e16):
        measured(loss, 1.0)
    assert measured.levels(8)[0] == level_of(1 / 3, 8), "summed exactly, then divided"


def test_step_that_is_no_number_has_the_highest_levels() -> None:
    measured = Measured()
    measured(1.0, 1.0)
    measured(math.nan, math.inf)
    assert measured.levels(8) == (255, 31)


def test_void_count_is_bounded() -> None:
    assert (void_count(3), void_count(10**6)) == (3, VOID_MOST)


@given(rows=st.integers(1, 10**10))
def test_score_has_the_bits_of_its_largest_value(rows: int) -> None:
    assert score_bits(SCHEMA.target, rows) == math.ceil(math.log2(rows + 1))
    assert largest_score(SCHEMA.target, rows) == rows
    assert score_bits(REGRESSION.target, rows) == 17
