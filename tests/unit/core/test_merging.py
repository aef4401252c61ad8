"""The arithmetic of merging slots, against the formula written out, however states are divided."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from chiron_stream.errors import RecipeRefused
from chiron_stream.graph import state
from chiron_stream.graph.checked import CheckedRecipe
from chiron_stream.graph.columns import Array
from chiron_stream.graph.layout import Merge, Segment, bytes_of, layout, state_segments
from chiron_stream.graph.training import train_slot
from chiron_stream.recipe import Recipe
from enclave_workers.core.coordinator import cutting, merging
from enclave_workers.core.coordinator.cutting import Cutter
from enclave_workers.core.coordinator.merging import Averaging, Kept
from tests.unit.core.states import average_states, averaged, copied, fill

ROWS = (40, 7, 300)
DTYPES = {"f32": "<f4", "i64": "<i8", "bool": "|u1"}


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    torch.manual_seed(0)
    return Recipe.export(
        nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2)),
        loss=nn.CrossEntropyLoss(),
        inputs={"input": "x"},
        target="y",
        optimizer=partial(torch.optim.SGD, lr=0.1, momentum=0.9),
        batch_size=8,
        columns={"x": ("tensor", (3,)), "y": ("label", ())},
    )


@pytest.fixture(scope="module")
def slots(recipe: Recipe) -> tuple[bytes, list[bytes]]:
    """A base, and what three slots made of it."""
    base = state.initial(recipe.checked, recipe.weights)
    return state.dump(base), [trained(recipe.checked, base, rows) for rows in ROWS]


def trained(checked: CheckedRecipe, base: state.ModelState, rows: int) -> bytes:
    generator = np.random.default_rng(rows)
    x = generator.standard_normal((rows, 3)).astype(np.float32)
    columns: dict[str, Array] = {"x": x, "y": generator.integers(0, 2, rows)}
    return state.dump(train_slot(checked, base, columns, seed=rows, first_step=0))


def test_parameters_are_averaged_in_float64_and_rounded_once(
    recipe: Recipe, slots: tuple[bytes, list[bytes]]
) -> None:
    base, updates = slots
    found = state.load(recipe.checked, average_states(recipe.checked, base, updates, ROWS))
    each = [state.load(recipe.checked, one) for one in updates]
    for place, tensor in enumerate(found.parameters):
        values = [one.parameters[place].double().numpy() for one in each]
        exact = ROWS[0] * values[0] + ROWS[1] * values[1] + ROWS[2] * values[2]
        expected = (exact / sum(ROWS)).astype(np.float32)
        assert tensor.numpy().tobytes() == expected.tobytes()


def test_counters_are_the_base_plus_the_largest_increment(
    recipe: Recipe, slots: tuple[bytes, list[bytes]]
) -> None:
    base, updates = slots
    found = state.load(recipe.checked, average_states(recipe.checked, base, updates, ROWS))
    again = average_states(recipe.checked, updates[0], updates, ROWS)
    most = max(int(state.load(recipe.checked, one).buffers[2]) for one in updates)
    assert int(found.buffers[2]) == most == 38
    assert found.optimizer is not None
    assert found.optimizer.steps == most
    assert int(state.load(recipe.checked, again).buffers[2]) == most


def test_order_of_slots_is_part_of_the_result(
    recipe: Recipe, slots: tuple[bytes, list[bytes]]
) -> None:
    base, updates = slots
    one = average_states(recipe.checked, base, updates, ROWS)
    same = average_states(recipe.checked, base, updates, ROWS)
    alone = average_states(recipe.checked, base, updates[:1], ROWS[:1])
    assert one == same
    assert alone == updates[0]
    assert one != updates[0]


def test_one_slot_is_copied(recipe: Recipe, slots: tuple[bytes, list[bytes]]) -> None:
    _, updates = slots
    assert copied(layout(recipe.checked, stepped=True), updates[0]) == updates[0]


@pytest.mark.parametrize("size", [1, 3, 7, 1000])
def test_merge_refuses_bytes_that_are_no_state(
    recipe: Recipe, slots: tuple[bytes, list[bytes]], size: int
) -> None:
    base, (first, second, _) = slots
    segments = layout(recipe.checked, stepped=True)
    presence = recipe.checked.definition.state_bytes
    for damaged in (
        second[:-1],
        second + b"\0",
        second[:presence] + b"\0" + second[presence + 1 :],
        second[:presence] + b"\2" + second[presence + 1 :],
        second[: presence + 1],
        b"",
    ):
        with pytest.raises(RecipeRefused) as refused:
            averaged(
                segments,
                state_segments(recipe.checked, base),
                base,
                [first, damaged],
                ROWS[:2],
                size,
            )
        assert refused.value.code == "GRAPH_STATE"


@pytest.mark.parametrize("size", [5, 1000])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_merge_refuses_numbers_that_are_not_finite(
    recipe: Recipe,
    slots: tuple[bytes, list[bytes]],
    monkeypatch: pytest.MonkeyPatch,
    size: int,
    value: float,
) -> None:
    base, (first, second, _) = slots
    segments = layout(recipe.checked, stepped=True)
    for at in (0, len(second) - 4):  # the first weight, and the last number of momentum
        damaged = second[:at] + np.float32(value).tobytes() + second[at + 4 :]
        with pytest.raises(RecipeRefused) as refused:
            copied(segments, damaged, size)
        assert refused.value.code == "NOT_FINITE"
        with pytest.raises(RecipeRefused) as refused:
            average_states(recipe.checked, base, [first, damaged], ROWS[:2])
        assert refused.value.code == "NOT_FINITE"
        with monkeypatch.context() as unguarded:  # the control: without the check it goes through
            unguarded.setattr(cutting, "check", lambda _segment, _piece: None)
            found = average_states(recipe.checked, base, [first, damaged], ROWS[:2])
        number = np.frombuffer(found, "<f4", 1, at)[0]
        assert np.isnan(number) == np.isnan(value)
        assert not np.isfinite(number)


def test_merge_refuses_truth_value_that_is_none() -> None:
    segments = [Segment("buffer 1", "bool", (3,), Merge.KEEP)]
    assert copied(segments, b"\0\1\0") == b"\0\1\0"
    with pytest.raises(RecipeRefused) as refused:
        copied(segments, b"\0\2\0")
    assert refused.value.code == "GRAPH_STATE"


def test_nothing_is_merged_of_states_that_were_not_read_to_their_end(
    recipe: Recipe, slots: tuple[bytes, list[bytes]]
) -> None:
    base, updates = slots
    segments = layout(recipe.checked, stepped=True)
    kept = Kept(segments)
    with pytest.raises(AssertionError):
        Averaging(segments, kept, ROWS)
    fill(kept.sink(state_segments(recipe.checked, base)), base)
    averaging = Averaging(segments, kept, ROWS[:2])
    fill(averaging.slot(), updates[0])
    sink = averaging.slot()
    sink.take(updates[1])
    with pytest.raises(AssertionError):
        averaging.slot()
    with pytest.raises(AssertionError):
        next(averaging.result())
    sink.finish()
    assert b"".join(averaging.result()) == average_states(
        recipe.checked, base, updates[:2], ROWS[:2]
    )
    with pytest.raises(AssertionError):
        averaging.slot()


def shapes() -> st.SearchStrategy[tuple[int, ...]]:
    return st.lists(st.integers(0, 5), max_size=2).map(tuple)


@st.composite
def layouts(draw: st.DrawFn) -> list[Segment]:
    """Segments of every type and every way to merge, and of no elements too.

    But for fractions that are counted: the checker knows counters of whole numbers only.
    """
    kind = st.tuples(st.sampled_from(sorted(DTYPES)), st.sampled_from(Merge))
    kinds = draw(st.lists(kind.filter(lambda one: one != ("f32", Merge.COUNT)), min_size=1))
    return [
        Segment(f"segment {n}", dtype, draw(shapes()), merge)
        for n, (dtype, merge) in enumerate(kinds)
    ]


def random_state(segments: Sequence[Segment], generator: np.random.Generator) -> bytes:
    """Values over the whole range of float32, zeros of both signs and denormals among them."""
    parts: list[npt.NDArray[Any]] = []
    for one in segments:
        if one.dtype == "f32":
            scale = np.exp2(generator.uniform(-149, 126, one.count))
            values = generator.standard_normal(one.count) * scale
            parts.append(np.where(generator.random(one.count) < 0.2, -0.0, values))
        elif one.dtype == "i64":
            parts.append(generator.integers(-(2**40), 2**40, one.count))
        else:
            parts.append(generator.integers(0, 2, one.count))
    return b"".join(
        part.astype(DTYPES[one.dtype]).tobytes() for one, part in zip(segments, parts, strict=True)
    )


def naive(
    segments: Sequence[Segment], base: bytes, updates: Sequence[bytes], rows: Sequence[int]
) -> bytes:
    """The formula over whole states."""
    out, start = b"", 0
    for one in segments:
        dtype = DTYPES[one.dtype]
        old, *new = (
            np.frombuffer(data, dtype, prod(one.shape), start) for data in (base, *updates)
        )
        start += one.bytes
        if one.merge is Merge.AVERAGE:
            total = np.float64(rows[0]) * new[0].astype(np.float64)
            for count, values in zip(rows[1:], new[1:], strict=True):
                total = total + np.float64(count) * values.astype(np.float64)
            out += (total / np.float64(sum(rows))).astype(dtype).tobytes()
        elif one.merge is Merge.COUNT:
            counts = np.stack([values.astype(np.int64) - old.astype(np.int64) for values in new])
            out += (old.astype(np.int64) + counts.max(axis=0)).astype(dtype).tobytes()
        else:
            out += old.tobytes()
    return out


@settings(max_examples=300, deadline=None)
@given(
    segments=layouts(),
    rows=st.lists(st.integers(2, 2**29 - 1), min_size=1, max_size=6),
    size=st.integers(1, 40),
    block=st.integers(1, 8),
    seed=st.integers(0, 2**32),
)
def test_bits_are_those_of_the_formula_wherever_chunks_and_segments_end(
    segments: list[Segment], rows: list[int], size: int, block: int, seed: int
) -> None:
    generator = np.random.default_rng(seed)
    base, *updates = (random_state(segments, generator) for _ in range(1 + len(rows)))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(merging, "BLOCK", block)
        found = averaged(segments, segments, base, updates, rows, size)
    assert found == naive(segments, base, updates, rows)
    assert copied(segments, updates[0], size) == updates[0]


def test_formula_begins_with_the_first_product_and_not_with_zero() -> None:
    segments = [Segment("one", "f32", (1,), Merge.AVERAGE)]
    minus_zero = np.float32(-0.0).tobytes()
    assert averaged(segments, segments, minus_zero, [minus_zero] * 2, (2, 2)) == minus_zero


@settings(max_examples=100, deadline=None)
@given(segments=layouts(), sizes=st.lists(st.integers(0, 30)), seed=st.integers(0, 2**32))
def test_cutter_yields_every_element_once_in_order(
    segments: list[Segment], sizes: list[int], seed: int
) -> None:
    data = random_state(segments, np.random.default_rng(seed))
    cutter, parts, left = Cutter(segments), [], data
    for size in (*sizes, len(data)):
        parts.append(left[:size])
        left = left[size:]
    found = [np.empty(0, DTYPES[one.dtype]) for one in segments]
    for part in parts:
        for piece in cutter.cut(part):
            assert piece.start == len(found[piece.place])
            found[piece.place] = np.concatenate([found[piece.place], piece.values])
    cutter.finish()
    assert b"".join(one.tobytes() for one in found) == data
    assert sum(one.nbytes for one in found) == bytes_of(segments)
