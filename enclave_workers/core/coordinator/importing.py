"""Open effects that touch bytes of models: importing a recipe, merging a round."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

from chiron_stream.errors import RecipeRefused, TamperDetected
from chiron_stream.graph.checked import CheckedRecipe
from chiron_stream.graph.layout import Segment, bytes_of, layout
from chiron_stream.wire import labels
from chiron_stream.wire.crypto import derive
from chiron_stream.wire.session import SessionKeys
from chiron_stream.wire.tasks import KeyedObject
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
from enclave_workers.core.coordinator.merging import Averaging, Copying, Kept
from enclave_workers.core.coordinator.state import (
    Context,
    ImportEffect,
    MergeEffect,
    State,
)
from enclave_workers.core.coordinator.updates import read_update
from enclave_workers.core.link import Link
from enclave_workers.core.lookup import read_object, write_object
from enclave_workers.core.recent import Recent
from enclave_workers.core.recipes import (
    ParametersDigest,
    bound_recipe,
    check_commitment,
    parameters_digest,
)
from enclave_workers.core.streaming import read_stream, write_stream

VERSIONS = "coordinator-chunks"


class ModelEffects:
    """What one boot of the coordinator does to bytes of models, and what it remembers of the last.

    Checking a recipe takes longer than a small round may; what a merge needs of its base is at hand
    where this boot wrote it.
    """

    def __init__(self, link: Link, context: Context) -> None:
        self._link = link
        self._context = context
        self._recipe: Recent[CheckedRecipe] = Recent()
        self._kept: Recent[Kept] = Recent()

    def import_recipe(self, state: State, effect: ImportEffect) -> Event:
        """Read, check and bind a recipe, and write version 0."""
        key = SessionKeys(effect.session, state.sessions[effect.session].prk).recipe
        manifest, policy = effect.manifest, self._context.policy
        try:
            definition = read_object(self._link, KeyedObject(manifest.definition, key))
            weights = read_object(self._link, KeyedObject(manifest.weights, key))
            recipe = bound_recipe(policy, definition)
            check_commitment(policy, definition, weights)
            data = recipe.initial(weights)
        except (RecipeRefused, TamperDetected) as error:
            return ImportFailed(error.code, cut(str(error), REASON_BYTES))
        self._recipe.put(manifest.definition.digest, recipe.checked)
        version_key = derive(self._context.key, labels.K_VERSION, 0)
        ref = write_object(self._link, VERSIONS, version_key, os.urandom(16), data)
        digest = parameters_digest(data, recipe.parameter_bytes)
        return ImportDone(recipe.batch_size, recipe.parameter_bytes, ref, digest)

    def merge(self, state: State, effect: MergeEffect) -> Event:
        """Make the round's version: of one slot by copying its bits, of several by merging them.

        Slot after slot is read through and added: the memory that a round takes does not depend on
        their number. An update that is not what its trainer described, or not what a trainer's
        state can be, sends its slot back to be leased again.
        """
        recipe, base = state.recipe, state.version
        if recipe is None or base is None:
            return MergeFailed(effect.round, 0, "NO_UPDATE")
        checked = self._checked(definition(state, recipe))
        segments = layout(checked, stepped=True)
        _flush_denormals()
        merging = self._begun(checked, version_object(self._context, base), effect)
        for place, result in enumerate(effect.results):
            try:
                read_update(self._link, self._context, recipe, segments, result, merging.slot())
            except (RecipeRefused, TamperDetected) as error:
                return MergeFailed(effect.round, place, error.code)
        return self._written(segments, merging, effect, recipe.parameter_bytes)

    def _checked(self, keyed: KeyedObject) -> CheckedRecipe:
        def read() -> CheckedRecipe:
            return bound_recipe(self._context.policy, read_object(self._link, keyed)).checked

        return self._recipe.get(keyed.ref.digest, read)

    def _begun(
        self, checked: CheckedRecipe, base: KeyedObject, effect: MergeEffect
    ) -> Averaging | Copying:
        """Return what the slots are read into, one after the other."""
        segments = layout(checked, stepped=True)
        if len(effect.results) == 1:
            return Copying(segments)

        def read_kept() -> Kept:
            kept = Kept(segments)
            stepped = base.ref.size == bytes_of(segments)
            read_stream(self._link, base, kept.sink(layout(checked, stepped=stepped)))
            return kept

        kept = self._kept.get(base.ref.digest, read_kept)
        return Averaging(segments, kept, [one.rows for one in effect.results])

    def _written(
        self,
        segments: Sequence[Segment],
        merging: Averaging | Copying,
        effect: MergeEffect,
        parameter_bytes: int,
    ) -> Event:
        """Write the version."""
        kept, parameters = Kept(segments), ParametersDigest(parameter_bytes)
        sink = kept.sink(segments)

        def pieces() -> Iterator[bytes]:
            _flush_denormals()  # they are computed in a thread that is ahead of the one that writes
            for piece in merging.result():
                parameters.update(piece)
                sink.take(piece)
                yield piece

        key = derive(self._context.key, labels.K_VERSION, effect.version)
        size = bytes_of(segments)
        ref = write_stream(self._link, VERSIONS, key, os.urandom(16), size, pieces())
        sink.finish()
        self._kept.put(ref.digest, kept)
        return Merged(effect.round, ref, parameters.digest())


def _flush_denormals() -> None:
    """Compute as trainers do, in this thread: what they would flush to zero is zero here too."""
    from chiron_stream.graph.numerics import flush_denormals  # loads torch, as the recipe did

    flush_denormals()
