"""How the rows of a slot make batches: arithmetic that planners need too, without torch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from chiron_stream.errors import SchemaMismatch

SMALLEST_SLOT: Final = 2
"""Rows of a slot, at least: batch statistics of one row are none."""


def batches(rows: int, batch_size: int) -> Iterator[tuple[int, int]]:
    """Yield start and stop of each batch of a slot.

    :raises SchemaMismatch: GRAPH_ROWS: fewer than two rows.
    """
    count = number_of_steps(rows, batch_size)
    for n in range(count):
        yield n * batch_size, rows if n == count - 1 else (n + 1) * batch_size


def number_of_steps(rows: int, batch_size: int) -> int:
    """Return the batches of a slot of ``rows`` rows.

    :raises SchemaMismatch: GRAPH_ROWS: fewer than two rows.
    """
    if rows < SMALLEST_SLOT:
        expected = f"at least {SMALLEST_SLOT} rows"
        raise SchemaMismatch(
            "the slot is too small", code="GRAPH_ROWS", expected=expected, got=f"{rows}"
        )
    whole, rest = divmod(rows, batch_size)
    return whole + (rest > 1 or not whole)
