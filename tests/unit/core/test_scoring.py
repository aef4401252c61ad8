"""What a trainer counts of an evaluation: right rows, or steps of an error."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from chiron_stream.graph import prediction
from chiron_stream.job.measures import ERROR_STEPS
from chiron_stream.job.schema import Column
from enclave_workers.core.trainer import evaluating
from tests.unit.job.builders import REGRESSION, SCHEMA

LABEL, TARGET = SCHEMA.target, REGRESSION.target
Array = np.ndarray[Any, Any]


@pytest.fixture
def _echo(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the column "found" be what a model predicts."""

    def predict(_recipe: Any, _model: Any, columns: Mapping[str, Array], _batch: int) -> Array:
        return columns["found"]

    monkeypatch.setattr(prediction, "predict", predict)


def score(target: Column, found: Any, wanted: Any, batch: int = 2) -> int:
    nothing: Any = None
    columns = {"found": np.array(found, np.float32), target.name: np.array(wanted)}
    blocks = evaluating.blocks(nothing, nothing, columns, target, batch)
    return evaluating.score(target, sum(blocks), len(wanted))


@pytest.mark.usefixtures("_echo")
def test_best_class_counts_and_the_first_of_several() -> None:
    found = [[0, 2, 1], [5, 5, 0], [0, 1, 1], [1, 0, 0]]
    assert score(LABEL, found, [1, 0, 2, 2]) == 2


@pytest.mark.usefixtures("_echo")
def test_score_that_is_no_number_is_the_worst() -> None:
    assert score(LABEL, [[math.nan, -9.0, -8.0], [math.nan] * 3], [2, 0]) == 2


@pytest.mark.usefixtures("_echo")
def test_error_is_the_root_of_the_mean_square_in_steps_of_the_range() -> None:
    found = [[100.0], [200.0], [300.0]]
    steps = score(TARGET, found, np.array([110.0, 190.0, 330.0], np.float32))
    exact = math.sqrt((10**2 + 10**2 + 30**2) / 3) / 400 * ERROR_STEPS
    assert steps == math.floor(exact)


@pytest.mark.usefixtures("_echo")
@pytest.mark.parametrize("value", [-1e30, math.nan, -math.inf])
def test_prediction_out_of_range_counts_as_its_end(value: float) -> None:
    assert score(TARGET, [[value]], np.array([400.0], np.float32)) == ERROR_STEPS
    assert score(TARGET, [[value]], np.array([0.0], np.float32)) == 0


@pytest.mark.usefixtures("_echo")
@pytest.mark.parametrize("batch", [2, 3, 64])
def test_blocks_change_nothing(batch: int) -> None:
    dice = np.random.default_rng(5)
    found, wanted = dice.normal(size=(999, 3)), dice.integers(0, 3, 999)
    assert score(LABEL, found, wanted, batch) == int((found.argmax(1) == wanted).sum())
    targets = dice.uniform(0, 400, 999).astype(np.float32)
    assert score(TARGET, found[:, :1] * 100, targets, batch) == score(
        TARGET, found[:, :1] * 100, targets, 999
    )
