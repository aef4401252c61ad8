"""One column of an owner's data, of whatever array it is, as the array of its field.

What counts as missing: None, NaN, NaT and the NA of data frames. Numbers may come as any integer,
floating or truth-value array, or as objects that are such numbers; a float column rounds them to
its dtype, an integer column takes whole numbers only. Nothing here puts a value into a message.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from chiron_stream.errors import SchemaMismatch
from chiron_stream.job.columns import Array, defect, first_outside, first_row, wire_dtype
from chiron_stream.job.fields import Field

_NUMERIC: Final = "biuf"
_MISSING_TYPES: Final = frozenset({"NoneType", "NAType", "NaTType"})
_WHOLE: Final = (int, np.integer, np.bool_)
_NUMBERS: Final = (*_WHOLE, float, np.floating)


class RowMismatch(SchemaMismatch):
    """Data that the schema refuses: of ``column``, and of ``row`` where one is to blame.

    ``what`` is the kind of defect. Rows count from 0.
    """

    def __init__(self, column: str, row: int | None, what: str, **parts: str | None) -> None:
        where = f"column {column!r}" if row is None else f"column {column!r}, row {row} (from 0)"
        super().__init__(f"{where}: {what}", **parts)
        self.column = column
        self.row = row
        self.what = what


def mismatch(
    column: str, row: int | None, what: str, *, expected: str, got: str, hint: str | None = None
) -> RowMismatch:
    """Return the error of a column, and of a row where one is to blame."""
    return RowMismatch(column, row, what, expected=expected, got=got, hint=hint)


def numbers(field: Field, array: Array, fill: float | None) -> tuple[Array, Array]:
    """Return the numbers of a field, and where they were missing.

    :param array: of shape (rows, then the field's shape).
    :param fill: what stands for a missing number; None where none may be missing.
    :return: an array of the field's little-endian dtype, a copy; truth values of the same shape.
    :raises SchemaMismatch: a value that is missing, out of range, not whole, or not a number.
    """
    if array.dtype == wire_dtype(field) and first_outside(field, array) is None:
        # Nothing is missing, for NaN would be outside; the zeros are not touched, and cost nothing.
        return array.astype(array.dtype, order="C"), np.zeros(array.shape, np.bool_)
    if array.dtype.kind == "O":
        array, absent = _from_objects(field, array)
    elif array.dtype.kind in _NUMERIC:
        absent = np.isnan(array) if array.dtype.kind == "f" else np.zeros(array.shape, np.bool_)
    else:
        raise mismatch(field.name, None, "not numbers", expected=field.dtype, got=_dtype(array))
    if fill is None and absent.any():
        row = first_row(absent)
        raise mismatch(field.name, row, "a missing value", expected="a number", got="none")
    return _converted(field, array, absent, fill or 0.0), absent


def _converted(field: Field, array: Array, absent: Array, fill: float) -> Array:
    """Fill, check and cast; the filling comes after rounding, so that it is the exact constant."""
    to_float = np.dtype(field.dtype).kind == "f"
    if to_float or array.dtype.kind == "f":
        # A number too large becomes infinite, and is found to be out of range.
        with np.errstate(over="ignore"):
            array = array.astype(wire_dtype(field) if to_float else np.float64, order="C")
        array[absent] = fill
    elif absent.any():
        array = np.where(absent, int(fill), array)
    if not to_float and array.dtype.kind == "f":
        _check_whole(field, array)
    _check_range(field, array)
    return array if to_float else array.astype(wire_dtype(field), order="C")


def _check_whole(field: Field, array: Array) -> None:
    if (broken := np.isfinite(array) & (np.floor(array) != array)).any():
        wanted = f"whole numbers for {field.dtype}"
        row = first_row(broken)
        raise mismatch(field.name, row, "not a whole number", expected=wanted, got="another")


def _check_range(field: Field, array: Array) -> None:
    if (row := first_outside(field, array)) is not None:
        what, wanted = defect(field, array[row]), f"{field.low!r} to {field.high!r}"
        raise mismatch(field.name, row, what, expected=wanted, got="another")


def _from_objects(field: Field, array: Array) -> tuple[Array, Array]:
    values = array.reshape(-1).tolist()
    kinds = set(map(type, values))
    gone = {kind for kind in kinds if kind.__name__ in _MISSING_TYPES}
    strange = {kind for kind in kinds - gone if not issubclass(kind, _NUMBERS)}
    if strange:
        at, kind = next((n, type(one)) for n, one in enumerate(values) if type(one) in strange)
        row = at * len(array) // len(values)
        got = f"a {kind.__name__}"
        raise mismatch(field.name, row, "not a number", expected=field.dtype, got=got)
    # NaN alone differs from itself.
    absent = np.fromiter((type(one) in gone or one != one for one in values), np.bool_)
    present = [0 if missing else one for missing, one in zip(absent, values, strict=True)]
    return _gathered(field, present, array.shape), absent.reshape(array.shape)


def _gathered(field: Field, values: list[Any], shape: tuple[int, ...]) -> Array:
    """Return numbers as int64 where all are whole and are to be, else as float64."""
    to_whole = np.dtype(field.dtype).kind != "f"
    whole = to_whole and all(issubclass(kind, _WHOLE) for kind in set(map(type, values)))
    try:
        return np.array(values, np.int64 if whole else np.float64).reshape(shape)
    except OverflowError:
        limit = 2**63 if whole else 2**1023
        at = next(n for n, value in enumerate(values) if abs(value) >= limit)
        row, wanted = at * shape[0] // len(values), f"{field.low!r} to {field.high!r}"
        what = "a value out of range"
        raise mismatch(field.name, row, what, expected=wanted, got="another") from None


def is_missing(value: object) -> bool:
    """Tell whether an object stands for a missing value."""
    if isinstance(value, float | np.floating):
        return bool(np.isnan(value))
    return type(value).__name__ in _MISSING_TYPES


def codes(field: Field, array: Array, texts: Iterable[str], other: int | None) -> Array:
    """Return the positions of texts in a list, as int64.

    :param array: of shape (rows,), texts or objects.
    :param other: the code of a missing or unlisted text; None where there may be none.
    :raises SchemaMismatch: a value that is not a text, or a text that must be listed and is not.
    """
    if array.dtype.kind not in "UOT":
        raise mismatch(
            field.name,
            None,
            "not texts",
            expected="texts",
            got=_dtype(array),
            hint="turn codes into the schema's texts first",
        )
    table = {text: code for code, text in enumerate(texts)}
    values = array.tolist()
    found = (table.get(value, -1) if isinstance(value, str) else -1 for value in values)
    result = np.fromiter(found, wire_dtype(field), len(values))
    unknown = np.flatnonzero(result == -1)
    for row in unknown:
        _check_unlisted(field, int(row), values[row], len(table), other)
    if other is not None:
        result[unknown] = other
    return result


def _check_unlisted(field: Field, row: int, value: object, count: int, other: int | None) -> None:
    missing = is_missing(value)
    expected = f"one of the {count} texts of the schema"
    if not missing and not isinstance(value, str):
        got = type(value).__name__
        raise mismatch(field.name, row, "not a text", expected=expected, got=got)
    if other is None:
        got = "none" if missing else "a value that is not in the list"
        raise mismatch(field.name, row, "no such value", expected=expected, got=got)


def labels(field: Field, array: Array, classes: tuple[str, ...]) -> Array:
    """Return class codes from class names, or from the codes themselves, as int64.

    Where classes are named like numbers but not in order (a class "1" at position 0), whole
    numbers could mean either, and are refused.

    :raises SchemaMismatch: a value that is no class, or whole numbers that could mean two.
    """
    if array.dtype.kind == "O" and all(issubclass(one, _WHOLE) for one in set(map(type, array))):
        array = _gathered(field, array.tolist(), array.shape)
    if array.dtype.kind not in "biu":
        return codes(field, array, classes, None)
    if any(text.isdecimal() and text != str(code) for code, text in enumerate(classes)):
        raise mismatch(
            field.name,
            None,
            "whole numbers could mean classes or positions",
            expected="class names as texts",
            got=_dtype(array),
        )
    _check_range(field, array)
    return array.astype(wire_dtype(field), order="C")


def _dtype(array: npt.NDArray[Any]) -> str:
    return f"dtype {array.dtype.name}"
