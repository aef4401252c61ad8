r"""Packed rows: the plaintext of shards and queries, and what makes a shard's content invalid.

Layout, all numbers little-endian, no padding and no alignment::

    offset  bytes  what
    0       4      magic, ASCII "CHRW"
    4       1      version, 1
    5       1      purpose: 1 train, 2 query
    6       2      zeros
    8       4      rows R, from 1 to 2^29 - 1
    12      32     SHA-256 over the canonical bytes of the job's schema
    44      ...    the fields, one after another

Fields come in the order of the schema's columns, and each is R rows in C order (last axis
fastest), two's complement or IEEE 754, with nothing between them::

    number    R values of the column's dtype; a missing value stands as the column's constant
      + mask  only with missing="mask": R bytes right behind them, 1 where missing, else 0
    category  R int64: the value's position in the list; the list's length for the bucket
    tensor    R * product(shape) values of the column's dtype
    label     R int64: the class's position in the list; only with purpose train
    target    R float32; only with purpose train

The length is exact, and no name is inside: the digest says which schema gives the bytes meaning.
The layout says nothing about the values: :func:`find_fault` does.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from chiron_stream.errors import SchemaMismatch
from chiron_stream.job.fields import (
    HEADER_BYTES,
    ITEM_BYTES,
    MAX_ROWS,
    Field,
    Purpose,
    packed_bytes,
)
from chiron_stream.job.schema import NumberColumn, Schema
from chiron_stream.wire.canonical import EncodingRefused

MAGIC: Final = b"CHRW"
VERSION: Final = 1
PURPOSES: Final[dict[Purpose, int]] = {"train": 1, "query": 2}

Array = npt.NDArray[Any]
_HEADER: Final = struct.Struct("<4sBBHI32s")


def wire_dtype(field: Field) -> np.dtype[Any]:
    """Return the little-endian dtype of a field."""
    return np.dtype(field.dtype).newbyteorder("<")


def pack_columns(
    schema: Schema, columns: Mapping[str, Array], rows: int, *, purpose: Purpose = "train"
) -> bytes:
    """Return the packed bytes of rows, by the layout above.

    :param columns: for each field of the schema a little-endian array of shape (rows, ...), as
        :func:`chiron_stream.job.rows.prepare` gives them, or slices of these. Values are not
        looked at.
    :raises SchemaMismatch: a field without its array, or of another dtype or shape.
    """
    if not 1 <= rows <= MAX_ROWS:
        raise SchemaMismatch("no such number of rows", expected=f"1 to {MAX_ROWS}", got=str(rows))
    header = _HEADER.pack(MAGIC, VERSION, PURPOSES[purpose], 0, rows, schema.digest)
    parts = [_checked(field, columns.get(field.name), rows) for field in schema.fields(purpose)]
    return b"".join([header, *(np.ascontiguousarray(part).data for part in parts)])


def _checked(field: Field, array: Array | None, rows: int) -> Array:
    expected = f"{field.dtype} of shape {(rows, *field.shape)}"
    if array is None:
        raise SchemaMismatch(f"field {field.name!r} has no array", expected=expected, got="none")
    if array.dtype != wire_dtype(field) or array.shape != (rows, *field.shape):
        raise SchemaMismatch(
            f"field {field.name!r} has another array",
            expected=expected,
            got=f"{array.dtype} of shape {array.shape}",
        )
    return array


def unpack_columns(
    schema: Schema, data: bytes, *, purpose: Purpose
) -> tuple[dict[str, Array], int]:
    """Return the fields of packed rows, and how many rows there are.

    Each array is a copy of its own: aligned, writable, of shape (rows, ...). Nothing is known of
    the values yet: call :func:`find_fault`.

    :param data: bytes that somebody in the roster sealed; their form is not trusted.
    :raises EncodingRefused: another magic, version, purpose, schema or length; code
        ``ROWS_FORMAT``.
    """
    rows = _read_header(schema, data, purpose)
    fields = schema.fields(purpose)
    wanted = packed_bytes(fields, rows)
    _expect(len(data) == wanted, f"{wanted} bytes", f"{len(data)}")
    columns: dict[str, Array] = {}
    offset = HEADER_BYTES
    for field in fields:
        count = rows * math.prod(field.shape)
        flat = np.frombuffer(data, wire_dtype(field), count, offset)
        columns[field.name] = flat.reshape(rows, *field.shape).copy()
        offset += count * ITEM_BYTES[field.dtype]
    return columns, rows


def _read_header(schema: Schema, data: bytes, purpose: Purpose) -> int:
    _expect(len(data) >= HEADER_BYTES, f"at least {HEADER_BYTES} bytes", f"{len(data)}")
    magic, version, number, zeros, rows, digest = _HEADER.unpack_from(data)
    _expect(magic == MAGIC, f"{MAGIC!r} as magic", "another")
    _expect(version == VERSION, f"version {VERSION}", f"{version}")
    _expect(number == PURPOSES[purpose], f"purpose {PURPOSES[purpose]}", f"{number}")
    _expect(zeros == 0, "zeros behind the purpose", "another number")
    _expect(digest == schema.digest, "the digest of the job's schema", "another")
    _expect(1 <= rows <= MAX_ROWS, f"1 to {MAX_ROWS} rows", f"{rows}")
    return int(rows)


def _expect(good: bool, expected: str, got: str) -> None:  # noqa: FBT001  (a condition)
    if not good:
        raise EncodingRefused(
            "packed rows do not read", code="ROWS_FORMAT", expected=expected, got=got
        )


def find_fault(
    schema: Schema, columns: Mapping[str, Array], *, purpose: Purpose = "train"
) -> str | None:
    """Return what makes these rows' content invalid, or None where it is valid.

    The same columns give the same text everywhere: it is the reason of a VOID. It names the first
    bad field in the schema's order and its first bad row, counted from 0, and never a value. Marks
    of missing values are looked at last.

    :param columns: what :func:`unpack_columns` returned for this schema and purpose.
    """
    for field in schema.fields(purpose):
        if (row := first_outside(field, columns[field.name])) is not None:
            return f"column {field.name!r}, row {row}: {defect(field, columns[field.name][row])}"
    for column in schema.columns:
        if isinstance(column, NumberColumn) and column.missing == "mask":
            row = _first_unfilled(column, columns)
            if row is not None:
                return f"column {column.name!r}, row {row}: marked missing, and not the constant"
    return None


def first_outside(field: Field, array: Array) -> int | None:
    """Return the first row with a value that is NaN or outside the field's bounds.

    :param array: of shape (rows, ...), integer or floating, any byte order.
    """
    # NaN is its own least and greatest value, and inside of nothing. No array is made for these.
    if array.size and array.min() >= field.low and array.max() <= field.high:
        return None
    inside = (array >= field.low) & (array <= field.high)
    if inside.all():
        return None
    return first_row(~inside)


def first_row(bad: npt.NDArray[np.bool_]) -> int:
    """Return the first row of an array of shape (rows, ...) in which something is true."""
    return int(np.argmax(bad.reshape(len(bad), -1).any(axis=1)))


def defect(field: Field, row: Array) -> str:
    """Return the words for a row of values that is not inside the field's bounds."""
    if field.kind in ("category", "label"):
        return "a code that is not in the list"
    if row.dtype.kind == "f" and np.isnan(row).any():
        return "not a number"
    return "a value out of range"


def _first_unfilled(column: NumberColumn, columns: Mapping[str, Array]) -> int | None:
    values, mask = columns[column.name], columns[f"{column.name}:mask"]
    constant = np.array(column.constant, dtype=values.dtype)
    bad = (mask == 1) & (values != constant)
    return first_row(bad) if bad.any() else None
