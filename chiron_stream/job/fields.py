"""Fields: the arrays that a schema's columns become, one after another, when rows are packed.

A column is what people agreed on; a field is what is computed with and what crosses the wire. Most
columns are one field. A number column with ``missing="mask"`` is two: its values, and ``NAME:mask``
(a colon is in no column's name), which is 1 where a value was missing and 0 elsewhere.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal

Purpose = Literal["train", "query"]
"""Rows to learn from, with their label or target; or rows to answer, without."""

Kind = Literal["number", "category", "tensor", "label", "target"]

ITEM_BYTES: Final = {"float32": 4, "float64": 8, "int32": 4, "int64": 8, "uint8": 1}
"""Bytes of one value, by dtype; on the wire always little-endian."""

HEADER_BYTES: Final = 44
"""Bytes before the values of packed rows (:mod:`chiron_stream.job.columns`)."""

MAX_ROWS: Final = 2**29 - 1
"""Rows packed together, at most: below 2²⁹ the averaging of parameters is exact."""


@dataclass(frozen=True)
class Field:
    """One array of shape (rows, then ``shape``), and the bounds of its values, both included.

    The bounds are whole numbers where the dtype is. Bounds of a float32 field are compared after
    rounding to float32, so that a bound such as 0.1 is itself in range.
    """

    name: str
    kind: Kind
    dtype: str
    shape: tuple[int, ...]
    low: int | float
    high: int | float

    @property
    def row_bytes(self) -> int:
        """Bytes of one row."""
        return ITEM_BYTES[self.dtype] * math.prod(self.shape)


def packed_bytes(fields: tuple[Field, ...], rows: int) -> int:
    """Return how many bytes ``rows`` rows take when packed, header included."""
    return HEADER_BYTES + rows * sum(field.row_bytes for field in fields)
