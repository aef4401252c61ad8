"""The bytes of a model's state: flat, little-endian, in the order of ids, without torch.

=================  ===========================================================================
parameters         each tensor, row by row; float32
buffers            the same; float32, int64, or one byte a truth value
presence           one byte: 0 before the optimizer's first step, else 1
steps              int64: steps the optimizer made        (only if present)
moments            for each slot of the optimizer, a tensor for each *trained* parameter
                   (only if present)
=================  ===========================================================================

What a provider ships, *weights*, is parameters and buffers. Each :class:`Segment` says how slots
of one round are merged: ``average`` in float64, ``count`` as base plus the largest increment (the
presence byte too, from 0 to 1), ``keep`` as it is in the base. A base without an optimizer's state
counts steps from 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from math import prod

from chiron_stream.errors import RecipeRefused
from chiron_stream.graph.checked import CheckedRecipe
from chiron_stream.graph.definition import ITEM_BYTES, Buffer


class Merge(Enum):
    """How several values of a segment become one."""

    AVERAGE = "average"
    COUNT = "count"
    KEEP = "keep"


@dataclass(frozen=True)
class Segment:
    """One tensor within the bytes of a state.

    :param name: "parameter 3", "buffer 5", "steps", "momentum_buffer 3", "presence".
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    merge: Merge

    @property
    def count(self) -> int:
        """Elements."""
        return prod(self.shape)

    @property
    def bytes(self) -> int:
        """Length in bytes."""
        return self.count * ITEM_BYTES[self.dtype]


def layout(recipe: CheckedRecipe, *, stepped: bool) -> tuple[Segment, ...]:
    """Return the segments of a state in order; together they are all of its bytes.

    :param stepped: the optimizer has made a step.
    """
    optimizer = _optimizer_segments(recipe) if stepped else ()
    presence = Segment("presence", "bool", (), Merge.COUNT)
    return (*weights_layout(recipe), presence, *optimizer)


def weights_layout(recipe: CheckedRecipe) -> tuple[Segment, ...]:
    """Return the segments of a provider's weights."""
    definition = recipe.definition
    parameters = (
        Segment(f"parameter {one.id}", one.dtype, one.shape, _parameter_merge(recipe, one))
        for one in definition.parameters
    )
    buffers = (
        Segment(f"buffer {one.id}", one.dtype, one.shape, _buffer_merge(recipe, one))
        for one in definition.buffers
    )
    return (*parameters, *buffers)


def state_segments(recipe: CheckedRecipe, data: bytes) -> tuple[Segment, ...]:
    """Return the segments of these bytes.

    :param data: untrusted; afterwards its length and presence byte are checked.
    :raises RecipeRefused: GRAPH_STATE.
    """
    start = recipe.definition.state_bytes
    presence = data[start] if len(data) > start else 0
    if presence > 1:
        raise refused_state("presence", "0 or 1", f"{presence}")
    found = layout(recipe, stepped=bool(presence))
    check_length(found, len(data))
    return found


def bytes_of(segments: Sequence[Segment]) -> int:
    """Return the length of the segments together."""
    return sum(one.bytes for one in segments)


def check_length(segments: Sequence[Segment], size: int) -> None:
    """Refuse a state that is not exactly as long as the segments together.

    :raises RecipeRefused: GRAPH_STATE.
    """
    expected = bytes_of(segments)
    if size != expected:
        raise refused_state("the whole", f"{expected} bytes", f"{size}")


def refused_state(what: str, expected: str, got: str) -> RecipeRefused:
    """Return the error for bytes that are no state of this recipe."""
    message = f"state of the model: {what} does not read"
    return RecipeRefused(message, code="GRAPH_STATE", expected=expected, got=got)


def _parameter_merge(recipe: CheckedRecipe, one: Buffer) -> Merge:
    return Merge.AVERAGE if one.id in recipe.trained else Merge.KEEP


def _buffer_merge(recipe: CheckedRecipe, one: Buffer) -> Merge:
    if one.id in recipe.counters:
        return Merge.COUNT
    return Merge.AVERAGE if one.id in recipe.statistics else Merge.KEEP


def _optimizer_segments(recipe: CheckedRecipe) -> Iterator[Segment]:
    yield Segment("steps", "i64", (), Merge.COUNT)
    trained = [one for one in recipe.definition.parameters if one.id in recipe.trained]
    for slot in recipe.definition.optimizer.slots:
        for one in trained:
            yield Segment(f"{slot} {one.id}", "f32", one.shape, Merge.AVERAGE)
