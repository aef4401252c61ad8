"""From a schema's columns to inputs: what fits, and what is refused with its place."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from chiron_stream.errors import RecipeRefused, SchemaMismatch
from chiron_stream.graph.columns import assemble, bind
from chiron_stream.graph.definition import Definition
from chiron_stream.graph.format import parse
from tests.unit.graph.samples import MLP, bare, encoded, rows

KINDS: dict[str, tuple[str, tuple[int, ...]]] = {
    **dict.fromkeys("abc", ("number", ())),
    "y": ("label", ()),
    "more": ("category", ()),
}


@pytest.fixture(scope="module")
def definition() -> Definition:
    return parse(encoded(MLP))


def refusal(definition: Definition, kinds: dict[str, Any]) -> RecipeRefused:
    with pytest.raises(RecipeRefused) as caught:
        bind(definition, kinds)
    assert caught.value.code == "GRAPH_BINDING"
    return caught.value


def mismatch(definition: Definition, columns: dict[str, Any]) -> SchemaMismatch:
    with pytest.raises(SchemaMismatch) as caught:
        assemble(definition, columns, target=True)
    assert caught.value.code == "GRAPH_ROWS"
    return caught.value


def test_bind_takes_the_columns_of_the_schema(definition: Definition) -> None:
    bind(definition, KINDS)


@pytest.mark.parametrize("name", ["b", "y"])
def test_bind_refuses_a_column_that_the_schema_lacks(definition: Definition, name: str) -> None:
    error = refusal(definition, {one: kind for one, kind in KINDS.items() if one != name})
    assert name in error.message
    assert ("$.target" if name == "y" else "$.inputs[0]") in error.message


@pytest.mark.parametrize("kind", ["category", "tensor", "label", "target"])
def test_bind_refuses_a_stacked_column_that_is_no_number(definition: Definition, kind: str) -> None:
    shape = (3,) if kind == "tensor" else ()
    error = refusal(definition, {**KINDS, "b": (kind, shape)})
    assert "'b'" in error.message


@pytest.mark.parametrize("kind", ["number", "category", "target"])
def test_bind_refuses_a_target_of_another_kind(definition: Definition, kind: str) -> None:
    assert "$.target" in refusal(definition, {**KINDS, "y": (kind, ())}).message


def test_bind_refuses_a_tensor_of_another_shape() -> None:
    tensor = parse(bare([[3, "relu", [{"ref": 0}]]], shape=(2, 5)))
    bind(tensor, {"x": ("tensor", (2, 5)), "y": ("target", ())})
    error = refusal(tensor, {"x": ("tensor", (5, 2)), "y": ("target", ())})
    assert (error.expected, error.got) == ("[2, 5]", "[5, 2]")


def test_assemble_stacks_numbers_beside_each_other(definition: Definition) -> None:
    columns = rows(5)
    found = assemble(definition, columns, target=True)
    assert len(found) == 5
    taken = found.take(slice(1, 3))
    assert taken[0].tolist() == np.stack([columns[n][1:3] for n in "abc"], 1).tolist()
    assert taken[0].dtype == np.float32
    assert taken[1].tolist() == columns["y"][1:3].tolist()


def test_assemble_without_target_ignores_it(definition: Definition) -> None:
    columns = {name: array for name, array in rows(5).items() if name != "y"}
    assert set(assemble(definition, columns, target=False).take(slice(5))) == {0}


@pytest.mark.parametrize("dtype", ["float64", "int64", "int32", "uint8"])
def test_numbers_of_any_type_become_float32(definition: Definition, dtype: str) -> None:
    columns: dict[str, Any] = {**rows(4), "b": np.arange(4).astype(dtype)}
    taken = assemble(definition, columns, target=True).take(slice(4))
    assert taken[0].dtype == np.float32
    assert taken[0][:, 1].tolist() == [0, 1, 2, 3]


def test_pixels_stay_small_until_they_are_taken() -> None:
    definition = parse(bare([[3, "relu", [{"ref": 0}]]], shape=(4,)))
    columns: dict[str, Any] = {"x": np.full((6, 4), 255, np.uint8), "y": np.zeros(6, np.float32)}
    found = assemble(definition, columns, target=True)
    assert found.arrays[0].dtype == np.uint8
    assert found.take(slice(2))[0].dtype == np.float32


@pytest.mark.parametrize("name", ["a", "y"])
def test_assemble_refuses_a_missing_column(definition: Definition, name: str) -> None:
    columns = {one: array for one, array in rows(5).items() if one != name}
    assert name in mismatch(definition, columns).message


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("a", np.zeros(5, np.complex64)),
        ("a", np.zeros((5, 1), np.float32)),
        ("a", np.zeros(5, object)),
        ("a", np.zeros(5, "U3")),
        ("y", np.zeros(5, np.float32)),
        ("y", np.zeros(5, np.bool_)),
        ("y", np.zeros((5, 2), np.int64)),
    ],
    ids=lambda one: f"{one.dtype}{list(one.shape)}" if isinstance(one, np.ndarray) else one,
)
def test_assemble_refuses_another_type_or_shape(
    definition: Definition, name: str, array: Any
) -> None:
    assert name in mismatch(definition, {**rows(5), name: array}).message


def test_assemble_refuses_a_single_number_for_rows(definition: Definition) -> None:
    assert "no array" in mismatch(definition, {**rows(5), "a": np.float32(1)}).message


@pytest.mark.parametrize("name", ["a", "c", "y"])
def test_assemble_refuses_columns_of_different_lengths(definition: Definition, name: str) -> None:
    columns = {**rows(5), name: rows(4)[name]}
    assert mismatch(definition, columns).got == "[4, 5]"
