"""A model's state: parameters, buffers, and what the optimizer keeps.

To compute :func:`parameters_digest` in plain PyTorch, for a ``module`` (and a ``loss`` with
buffers, such as class weights)::

    digest = hashlib.sha256()
    for tensor in [*module.parameters(), *module.buffers(), *loss.buffers()]:
        digest.update(tensor.detach().numpy().tobytes())
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch

from chiron_stream.graph.checked import CheckedRecipe
from chiron_stream.graph.layout import (
    Segment,
    check_length,
    refused_state,
    state_segments,
    weights_layout,
)

_LITTLE_ENDIAN: Final = {"f32": "<f4", "i64": "<i8", "bool": "|u1"}


@dataclass(frozen=True)
class OptimizerState:
    """What the optimizer keeps from step to step.

    :param steps: that it made.
    :param moments: by slot, then by trained parameter in the order of ids.
    """

    steps: int
    moments: tuple[tuple[torch.Tensor, ...], ...]


@dataclass(frozen=True)
class ModelState:
    """Everything that training carries on. Its tensors are never changed in place.

    :param optimizer: None before the first step.
    """

    parameters: tuple[torch.Tensor, ...]
    buffers: tuple[torch.Tensor, ...]
    optimizer: OptimizerState | None


def initial(recipe: CheckedRecipe, weights: bytes) -> ModelState:
    """Return the state before the first step.

    :param weights: untrusted: parameters, then buffers.
    :raises RecipeRefused: GRAPH_STATE: another length, or a truth value that is neither 0 nor 1.
    """
    segments = weights_layout(recipe)
    check_length(segments, len(weights))
    return _split(recipe, list(_tensors(segments, weights)), None)


def load(recipe: CheckedRecipe, data: bytes) -> ModelState:
    """Return the state that :func:`dump` wrote.

    :param data: untrusted.
    :raises RecipeRefused: GRAPH_STATE, as for :func:`initial`.
    """
    tensors = list(_tensors(state_segments(recipe, data), data))
    count = len(weights_layout(recipe))
    if len(tensors) == count + 1:
        return _split(recipe, tensors, None)
    steps, *moments = tensors[count + 1 :]
    each = len(recipe.trained)
    slots = tuple(
        tuple(moments[n * each : (n + 1) * each])
        for n in range(len(recipe.definition.optimizer.slots))
    )
    return _split(recipe, tensors, OptimizerState(int(steps), slots))


def dump(state: ModelState) -> bytes:
    """Return the bytes of a state, as :mod:`chiron_stream.graph.layout` describes them."""
    parts = [*map(_bytes, _model(state)), bytes([state.optimizer is not None])]
    if state.optimizer is not None:
        parts.append(state.optimizer.steps.to_bytes(8, "little", signed=True))
        parts.extend(_bytes(one) for slot in state.optimizer.moments for one in slot)
    return b"".join(parts)


def parameters_digest(state: ModelState) -> bytes:
    """Return SHA-256 over parameters, then buffers: the weights of this state."""
    digest = hashlib.sha256()
    for tensor in _model(state):
        digest.update(_bytes(tensor))
    return digest.digest()


def finite(state: ModelState) -> bool:
    """Return whether no float of the state is infinite or no number."""
    moments = () if state.optimizer is None else state.optimizer.moments
    tensors = (*_model(state), *(one for slot in moments for one in slot))
    return all(bool(torch.isfinite(one).all()) for one in tensors)


def _model(state: ModelState) -> tuple[torch.Tensor, ...]:
    return (*state.parameters, *state.buffers)


def _split(
    recipe: CheckedRecipe, tensors: list[torch.Tensor], optimizer: OptimizerState | None
) -> ModelState:
    middle = len(recipe.definition.parameters)
    end = middle + len(recipe.definition.buffers)
    return ModelState(tuple(tensors[:middle]), tuple(tensors[middle:end]), optimizer)


def _tensors(segments: tuple[Segment, ...], data: bytes) -> Iterator[torch.Tensor]:
    start = 0
    for one in segments:
        part = np.frombuffer(data, _LITTLE_ENDIAN[one.dtype], one.count, start)
        start += one.bytes
        if one.dtype == "bool":
            if part.max(initial=0) > 1:
                raise refused_state(one.name, "truth values of 0 or 1", "another byte")
            part = part.astype(np.bool_)
        yield torch.from_numpy(part.reshape(one.shape).copy())


def _bytes(tensor: torch.Tensor) -> bytes:
    return tensor.detach().contiguous().numpy().tobytes()
