"""Open effects that touch bytes of models: importing a recipe, merging a round."""

from __future__ import annotations

import os

from chiron_stream.errors import RecipeRefused, TamperDetected
from chiron_stream.wire import labels
from chiron_stream.wire.crypto import derive
from chiron_stream.wire.objects import object_digest
from chiron_stream.wire.session import SessionKeys
from chiron_stream.wire.tasks import KeyedObject
from chiron_stream.wire.workers import SlotResult
from enclave_workers.core.coordinator.events import (
    REASON_BYTES,
    Event,
    ImportDone,
    ImportFailed,
    Merged,
    MergeFailed,
    cut,
)
from enclave_workers.core.coordinator.leasing import definition, version_object
from enclave_workers.core.coordinator.merging import merge_states
from enclave_workers.core.coordinator.state import (
    Context,
    ImportEffect,
    MergeEffect,
    Recipe,
    State,
)
from enclave_workers.core.link import Link
from enclave_workers.core.lookup import read_object, write_object
from enclave_workers.core.recipes import bound_recipe, check_commitment, parameters_digest

VERSIONS = "coordinator-chunks"


def import_recipe(link: Link, context: Context, state: State, effect: ImportEffect) -> Event:
    """Read, check and bind a recipe, and write version 0."""
    key = SessionKeys(effect.session, state.sessions[effect.session].prk).recipe
    manifest = effect.manifest
    try:
        definition = read_object(link, KeyedObject(manifest.definition, key))
        weights = read_object(link, KeyedObject(manifest.weights, key))
        recipe = bound_recipe(context.policy, definition)
        check_commitment(context.policy, definition, weights)
        data = recipe.initial(weights)
    except (RecipeRefused, TamperDetected) as error:
        return ImportFailed(error.code, cut(str(error), REASON_BYTES))
    version_key = derive(context.key, labels.K_VERSION, 0)
    ref = write_object(link, VERSIONS, version_key, os.urandom(16), data)
    digest = parameters_digest(data, recipe.parameter_bytes)
    return ImportDone(recipe.batch_size, recipe.parameter_bytes, ref, digest)


class _Unusable(Exception):
    """An update that is not what its trainer described."""

    def __init__(self, place: int, code: str) -> None:
        super().__init__(code)
        self.place = place
        self.code = code


def merge(link: Link, context: Context, state: State, effect: MergeEffect) -> Event:
    """Make the round's version: of one slot by copying its bits, of several by merging them.

    An update that is not what its trainer described sends its slot back to be leased again.
    """
    recipe, base = state.recipe, state.version
    if recipe is None or base is None:
        return MergeFailed(effect.round, 0, "NO_UPDATE")
    try:
        updates = [
            _update(link, context, recipe, place, result)
            for place, result in enumerate(effect.results)
        ]
    except _Unusable as error:
        return MergeFailed(effect.round, error.place, error.code)
    data = updates[0] if len(updates) == 1 else _merged(link, context, state, effect, updates)
    version_key = derive(context.key, labels.K_VERSION, effect.version)
    ref = write_object(link, VERSIONS, version_key, os.urandom(16), data)
    return Merged(effect.round, ref, parameters_digest(data, recipe.parameter_bytes))


def _update(link: Link, context: Context, recipe: Recipe, place: int, result: SlotResult) -> bytes:
    if result.update is None:
        raise _Unusable(place, "NO_UPDATE")
    key = derive(context.key, labels.K_UPDATE, result.task)
    try:
        data = read_object(link, KeyedObject(result.update, key))
    except TamperDetected as error:
        raise _Unusable(place, error.code) from None
    digest = parameters_digest(data, recipe.parameter_bytes)
    if object_digest(data) != result.digest or digest != result.parameters:
        raise _Unusable(place, "DIGEST")
    return data


def _merged(
    link: Link, context: Context, state: State, effect: MergeEffect, updates: list[bytes]
) -> bytes:
    recipe, base = state.recipe, state.version
    if recipe is None or base is None:
        raise AssertionError("a merge has a recipe and a base")
    checked = bound_recipe(context.policy, read_object(link, definition(state, recipe))).checked
    before = read_object(link, version_object(context, base))
    return merge_states(checked, before, updates, [result.rows for result in effect.results])
