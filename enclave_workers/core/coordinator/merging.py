"""Merging the slots of a round into one state: the arithmetic, in slot order, rounded once.

For values that are averaged: ``float64(n₀)·v₀ + float64(n₁)·v₁ + …``, divided by ``Σn`` once,
rounded to the segment's type once; products are exact for n below 2²⁹. Counters are the base's
value plus the largest increment. What no slot changes is the base's
(:mod:`chiron_stream.graph.layout` says which is which). A round of one slot is not merged: its bits
are copied.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from chiron_stream.graph.checked import CheckedRecipe
from chiron_stream.graph.layout import Merge, Segment, state_segments

_DTYPES: Final = {"f32": "<f4", "i64": "<i8", "bool": "|u1"}
Array = npt.NDArray[Any]


def merge_states(
    recipe: CheckedRecipe, base: bytes, updates: Sequence[bytes], rows: Sequence[int]
) -> bytes:
    """Return the state of a round.

    :param base: the state that every slot began with.
    :param updates: each slot's final state, in slot order.
    :param rows: of each slot, the weights.
    :raises RecipeRefused: GRAPH_STATE: bytes that are no state of this recipe, or states of
        different layouts.
    """
    found = [state_segments(recipe, data) for data in updates]
    segments = max(found, key=len)
    known = dict(_parts(state_segments(recipe, base), base))
    slots = [dict(_parts(one, data)) for one, data in zip(found, updates, strict=True)]
    merged = (
        _merged(segment, known.get(segment.name), [slot[segment.name] for slot in slots], rows)
        for segment in segments
    )
    return b"".join(
        one.astype(_DTYPES[s.dtype]).tobytes() for s, one in zip(segments, merged, strict=True)
    )


def _parts(segments: Sequence[Segment], data: bytes) -> Iterator[tuple[str, Array]]:
    start = 0
    for one in segments:
        yield one.name, np.frombuffer(data, _DTYPES[one.dtype], one.count, start)
        start += one.bytes


def _merged(
    segment: Segment, base: Array | None, values: Sequence[Array], rows: Sequence[int]
) -> Array:
    if segment.merge is Merge.KEEP:
        return values[0] if base is None else base
    if segment.merge is Merge.AVERAGE:
        return _average(values, rows)
    start: Array = np.zeros_like(values[0], np.int64) if base is None else base.astype(np.int64)
    steps = np.stack([value.astype(np.int64) - start for value in values])
    merged: Array = start + steps.max(axis=0)
    return merged


def _average(values: Sequence[Array], rows: Sequence[int]) -> Array:
    total: Array = np.float64(rows[0]) * values[0].astype(np.float64)
    for count, value in zip(rows[1:], values[1:], strict=True):
        total += np.float64(count) * value.astype(np.float64)
    total /= np.float64(sum(rows))
    return total
