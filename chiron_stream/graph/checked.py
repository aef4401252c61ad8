"""What a check found out about a recipe; holding a :class:`CheckedRecipe` means it passed."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from chiron_stream.graph.definition import Definition
from chiron_stream.wire.labels import RECIPE


@dataclass(frozen=True)
class Limits:
    """What a recipe may ask of a worker.

    :param max_parameter_bytes: of parameters and buffers together.
    :param max_activation_bytes: of everything that one training step, or one prediction,
        allocates from its start to its end: forward and backward, freed or not. A bound on the
        memory in use at any one time, and generous: that is a third to a half of it.
    :param max_batch: rows of a training batch.
    :param prediction_batch: rows at which predictors run the eval graph, at most.
    """

    max_parameter_bytes: int = 256 << 20
    max_activation_bytes: int = 2 << 30
    max_batch: int = 8192
    prediction_batch: int = 256


@dataclass(frozen=True)
class CheckedRecipe:
    """A definition that keeps every rule, and facts about it.

    :param digest: SHA-256 of the definition's bytes as they came.
    :param trained: ids of the parameters that the optimizer changes: trainable, and the loss
        depends on them.
    :param counters: ids of the buffers that the train graph increments.
    :param statistics: ids of the buffers that the train graph changes in another way.
    :param train_bytes: allocated by one step at the largest batch, ``batch_size + 1``.
    :param eval_bytes: allocated by one prediction at ``prediction_batch + 1``.
    :param output_shape: of the prediction for one row.
    """

    definition: Definition
    digest: bytes
    limits: Limits
    trained: tuple[int, ...]
    counters: tuple[int, ...]
    statistics: tuple[int, ...]
    train_bytes: int
    eval_bytes: int
    output_shape: tuple[int, ...]


def commitment(definition: bytes, weights: bytes) -> bytes:
    """Return what a job's policy names a recipe by: a hash over definition and weights.

    :param definition: the JSON as it is sent.
    :param weights: parameters, then buffers, flat (:mod:`chiron_stream.graph.layout`).
    """
    parts = (hashlib.sha256(part).digest() for part in (definition, weights))
    return hashlib.sha256(RECIPE + b"".join(parts)).digest()
