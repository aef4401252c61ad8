"""From a job's columns to a recipe's inputs: whether they fit, and the arrays themselves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NoReturn, TypeAlias

import numpy as np
import numpy.typing as npt

from chiron_stream.errors import RecipeRefused, SchemaMismatch
from chiron_stream.graph.definition import Definition, Input

ColumnKinds: TypeAlias = Mapping[str, tuple[str, tuple[int, ...]]]
"""By name: kind ("number", "category", "tensor", "label", "target") and shape of one row."""

Array: TypeAlias = npt.NDArray[Any]

_INPUT_KINDS: Final = {"f32": ("number", "tensor"), "i64": ("category", "tensor")}
_TARGET_KINDS: Final = {"f32": ("target",), "i64": ("label",)}
_WHOLE: Final = ("int64", "int32", "uint8")
_SOURCES: Final = {"f32": ("float32", "float64", *_WHOLE), "i64": _WHOLE}
_DTYPES: Final[Mapping[str, npt.DTypeLike]] = {"f32": np.float32, "i64": np.int64}


def bind(definition: Definition, kinds: ColumnKinds) -> None:
    """Check that every column which the recipe names is there and fits.

    :param kinds: of the job's schema.
    :raises RecipeRefused: GRAPH_BINDING, naming the input and the column.
    """
    for number, one in enumerate(definition.inputs):
        _check_columns(one, f"$.inputs[{number}].columns", kinds, _INPUT_KINDS)
    _check_columns(definition.target, "$.target.columns", kinds, _TARGET_KINDS)


@dataclass(frozen=True)
class Rows:
    """Rows of a slot, or of queries, as the recipe's inputs; made by :func:`assemble`."""

    inputs: tuple[Input, ...]
    arrays: tuple[Array, ...]

    def __len__(self) -> int:
        return len(self.arrays[0])

    def take(self, chosen: Array | slice) -> dict[int, Array]:
        """Return some rows by the ids of inputs, each in the type that the recipe says.

        Numbers become float32 here, rounded to nearest: a slot of small integers stays small.
        """
        pairs = zip(self.inputs, self.arrays, strict=True)
        return {one.id: _typed(one, array[chosen]) for one, array in pairs}


def assemble(definition: Definition, columns: Mapping[str, Array], *, target: bool) -> Rows:
    """Return the rows as the inputs of a recipe, and as its target if asked for.

    :param columns: by name, ``[rows, *shape of a row]``: whole numbers where the recipe says i64;
        those or floats where it says f32. Names that the recipe does not use are ignored.
    :raises SchemaMismatch: GRAPH_ROWS: a column is missing, has another type or shape, or another
        number of rows than the others.
    """
    wanted = (*definition.inputs, definition.target) if target else definition.inputs
    counts = {len(columns[name]) for one in wanted for name in one.columns if _has(name, columns)}
    if len(counts) != 1:
        _refuse_rows("the columns differ in rows", "one number", f"{sorted(counts)}")
    return Rows(wanted, tuple(_array(one, columns) for one in wanted))


def _check_columns(
    one: Input, place: str, kinds: ColumnKinds, allowed: Mapping[str, tuple[str, ...]]
) -> None:
    good = allowed[one.dtype]
    row_shape = () if one.stacked else one.row_shape
    for name in one.columns:
        if name not in kinds:
            _refuse_binding(f"{place}: {name!r} is not in the schema", "a column of it", "none")
        kind, shape = kinds[name]
        if kind not in good:
            _refuse_binding(f"{place}: {name!r} is of another kind", " or ".join(good), kind)
        if tuple(shape) != row_shape:
            got = f"{list(shape)}"
            _refuse_binding(f"{place}: {name!r} has another shape", f"{list(row_shape)}", got)


def _has(name: str, columns: Mapping[str, Array]) -> bool:
    if name not in columns:
        _refuse_rows(f"column {name!r} is missing", "it", "none")
    if not columns[name].ndim:
        _refuse_rows(f"column {name!r} is no array of rows", "[rows, ...]", "[]")
    return True


def _array(one: Input, columns: Mapping[str, Array]) -> Array:
    parts = [_column(one, name, columns[name]) for name in one.columns]
    return np.stack([_typed(one, part) for part in parts], axis=1) if one.stacked else parts[0]


def _column(one: Input, name: str, array: Array) -> Array:
    shape = () if one.stacked else one.row_shape
    if array.dtype.name not in _SOURCES[one.dtype] or array.shape[1:] != shape:
        expected = f"{' or '.join(_SOURCES[one.dtype])}, rows of shape {list(shape)}"
        got = f"{array.dtype}, {list(array.shape[1:])}"
        _refuse_rows(f"column {name!r} does not fit", expected, got)
    return array


def _typed(one: Input, array: Array) -> Array:
    return array.astype(_DTYPES[one.dtype], copy=False)


def _refuse_binding(message: str, expected: str, got: str) -> NoReturn:
    raise RecipeRefused(message, code="GRAPH_BINDING", expected=expected, got=got)


def _refuse_rows(message: str, expected: str, got: str) -> NoReturn:
    raise SchemaMismatch(message, code="GRAPH_ROWS", expected=expected, got=got)
