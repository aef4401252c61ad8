"""Whole states through the coordinator's merge, which takes them piece by piece."""

from __future__ import annotations

from collections.abc import Sequence

from chiron_stream.graph.checked import CheckedRecipe
from chiron_stream.graph.layout import Segment, layout, state_segments
from enclave_workers.core.coordinator.merging import Averaging, Copying, Kept
from enclave_workers.core.streaming import Sink


def fill(sink: Sink, data: bytes, size: int = 1000) -> None:
    """Put a whole state into a sink, so many bytes at a time."""
    for start in range(0, len(data), size):
        sink.take(data[start : start + size])
    sink.finish()


def averaged(
    segments: Sequence[Segment],
    fresh: Sequence[Segment],
    base: bytes,
    updates: Sequence[bytes],
    rows: Sequence[int],
    size: int = 1000,
) -> bytes:
    """Merge states of these segments.

    :param fresh: the segments of the base.
    """
    kept = Kept(segments)
    fill(kept.sink(fresh), base, size)
    averaging = Averaging(segments, kept, rows)
    for update in updates:
        fill(averaging.slot(), update, size)
    return b"".join(averaging.result())


def copied(segments: Sequence[Segment], update: bytes, size: int = 1000) -> bytes:
    """Copy a state of these segments."""
    copying = Copying(segments)
    fill(copying.slot(), update, size)
    return b"".join(copying.result())


def average_states(
    recipe: CheckedRecipe, base: bytes, updates: Sequence[bytes], rows: Sequence[int]
) -> bytes:
    """Merge several states of a recipe."""
    segments = layout(recipe, stepped=True)
    return averaged(segments, state_segments(recipe, base), base, updates, rows)


def merge_states(
    recipe: CheckedRecipe, base: bytes, updates: Sequence[bytes], rows: Sequence[int]
) -> bytes:
    """Return the state of a round, of one slot or of several."""
    if len(updates) == 1:
        return copied(layout(recipe, stepped=True), updates[0])
    return average_states(recipe, base, updates, rows)
