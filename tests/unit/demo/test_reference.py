"""Answers compared with plain PyTorch's: one that was altered shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
import torch

from examples.demo.asking import Asked
from examples.demo.data import Data
from examples.demo.reference import State, different, predicted
from tests.unit.demo import made

BATCH = 32


@pytest.fixture(scope="module")
def data() -> Data:
    return made.data()


@pytest.fixture(scope="module")
def states(data: Data) -> Mapping[int, State]:
    """Parameters of two versions, the second of them another network."""
    first = data.spec.module.state_dict()
    torch.manual_seed(1)
    return {2: first, 4: {name: torch.randn_like(one) for name, one in first.items()}}


def answers(data: Data, states: Mapping[int, State]) -> list[Asked]:
    rows = data.test[data.input]
    return [
        Asked(row, value, version // 2, version)
        for version, state in states.items()
        for row, value in enumerate(predicted(data, state, rows, BATCH))
    ]


def test_answers_of_each_version_s_parameters_are_equal(
    data: Data, states: Mapping[int, State]
) -> None:
    given = answers(data, states)
    assert len({one.value for one in given}) > 1
    assert different(data, states, given, BATCH) == []


def test_one_altered_answer_is_named(data: Data, states: Mapping[int, State]) -> None:
    given = answers(data, states)
    given[17] = replace(given[17], value="4" if given[17].value != "4" else "5")
    assert different(data, states, given, BATCH) == [given[17]]


def test_answers_of_another_version_s_parameters_are_different(
    data: Data, states: Mapping[int, State]
) -> None:
    stale = [replace(one, version=4) for one in answers(data, states) if one.version == 2]
    assert different(data, states, stale, BATCH)


def test_answer_of_a_version_that_there_was_not_is_different(
    data: Data, states: Mapping[int, State]
) -> None:
    forged = replace(answers(data, states)[0], version=3)
    assert different(data, states, [forged], BATCH) == [forged]


def test_neighbours_change_no_prediction(data: Data, states: Mapping[int, State]) -> None:
    rows = data.test[data.input]
    whole = predicted(data, states[2], rows, BATCH)
    assert [predicted(data, states[2], rows[n : n + 1], BATCH)[0] for n in range(5)] == whole[:5]
