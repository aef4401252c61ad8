"""Accuracies on each owner's classes, and their picture."""

from __future__ import annotations

from pathlib import Path

import pytest

from examples.demo.accuracy import Accuracy
from examples.demo.asking import Asked
from examples.demo.plotting import ENOUGH, curve, draw
from tests.unit.demo import made

DATA = made.data()
TRUTH = made.truth(DATA)
FIRST_ROWS = [row for row, one in enumerate(TRUTH) if one < "5"]
SECOND_ROWS = [row for row, one in enumerate(TRUTH) if one >= "5"]


def answers(version: int, *, knows_second: bool) -> list[Asked]:
    """Return answers of a version that knows the first owner's classes, and perhaps the others."""
    return [
        Asked(row, one if one < "5" or knows_second else "0", version // 2, version)
        for row, one in enumerate(TRUTH)
    ]


@pytest.fixture
def accuracy() -> Accuracy:
    return Accuracy(DATA)


def test_accuracy_is_of_each_owner_s_classes(accuracy: Accuracy) -> None:
    given = answers(2, knows_second=False)
    assert (accuracy.of(given, first=True), accuracy.of(given, first=False)) == (1.0, 0.0)
    assert accuracy.overall(given) == round(len(FIRST_ROWS) / len(TRUTH), 4)


def test_accuracy_of_no_answers_is_none(accuracy: Accuracy) -> None:
    only_first = [one for one in answers(2, knows_second=True) if one.row in FIRST_ROWS]
    assert accuracy.of(only_first, first=False) is None
    assert "on B's   -  " in accuracy.said(only_first)


def test_curve_rises_where_the_second_owner_s_classes_are_learnt(accuracy: Accuracy) -> None:
    given = [*answers(2, knows_second=False), *answers(6, knows_second=True)]
    assert curve(accuracy, given, first=False) == ([2, 6], [0.0, 1.0])


def test_curve_has_no_point_of_few_answers(accuracy: Accuracy) -> None:
    rows = set(SECOND_ROWS[: ENOUGH - 1])
    given = [one for one in answers(2, knows_second=True) if one.row in rows]
    assert curve(accuracy, given, first=False) == ([], [])


def test_picture_is_drawn(tmp_path: Path) -> None:
    path = tmp_path / "demo.png"
    curves = {"A's classes": ([2, 4], [0.5, 0.9]), "B's classes": ([2, 4], [0.0, 0.8])}
    draw(path, curves, {"B joins": 2}, 0.9)
    assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
