"""A recipe as a core uses it: checked against the policy, bound to the schema, then run.

Importing this module loads no torch; checking or running a recipe does.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from chiron_stream.errors import RecipeRefused
from chiron_stream.graph.checked import CheckedRecipe, Limits, commitment
from chiron_stream.job.policy import Policy
from chiron_stream.wire.crypto import Bytes


@dataclass(frozen=True)
class BoundRecipe:
    """A checked recipe whose inputs are columns of the job's schema."""

    checked: CheckedRecipe

    @property
    def batch_size(self) -> int:
        """Rows of a training batch."""
        return self.checked.definition.batch_size

    @property
    def parameter_bytes(self) -> int:
        """Bytes of parameters and buffers: the beginning of every state."""
        return self.checked.definition.state_bytes

    def initial(self, weights: bytes) -> bytes:
        """Return the state before the first step, as bytes.

        :param weights: untrusted: parameters, then buffers.
        :raises RecipeRefused: another length, or a truth value that is none.
        """
        from chiron_stream.graph import state

        return state.dump(state.initial(self.checked, weights))


def bound_recipe(policy: Policy, definition: bytes) -> BoundRecipe:
    """Return the recipe that an untrusted definition holds.

    :raises RecipeRefused: it breaks a rule of the graph, a limit of the policy, or names a column
        that the schema does not have.
    """
    from chiron_stream.graph.checker import check
    from chiron_stream.graph.columns import bind

    limits = Limits(
        max_parameter_bytes=policy.recipe.parameter_bytes,
        max_activation_bytes=policy.recipe.activation_bytes,
        max_batch=policy.recipe.batch_size,
        prediction_batch=max(2, policy.predictor_batch),
    )
    checked = check(definition, limits)
    bind(checked.definition, policy.schema.kinds())
    return BoundRecipe(checked)


def check_commitment(policy: Policy, definition: bytes, weights: bytes) -> None:
    """Refuse a recipe that is not the one that the policy names, where it names one.

    :raises RecipeRefused: it is another.
    """
    wanted = policy.recipe.commitment
    if wanted is not None and commitment(definition, weights) != wanted:
        raise RecipeRefused(
            "the recipe is not the one that the policy commits to", code="RECIPE_COMMITMENT"
        )


class ParametersDigest:
    """SHA-256 over parameters and buffers, the beginning of a state whose bytes pass by."""

    def __init__(self, parameter_bytes: int) -> None:
        self._left = parameter_bytes
        self._digest = hashlib.sha256()

    def update(self, piece: Bytes) -> None:
        """Take the state's next bytes."""
        if self._left:
            part = memoryview(piece)[: self._left]
            self._digest.update(part)
            self._left -= len(part)

    def digest(self) -> bytes:
        """Return the digest of what passed by."""
        return self._digest.digest()


def parameters_digest(state: bytes, parameter_bytes: int) -> bytes:
    """Return SHA-256 over parameters and buffers, the beginning of a state's bytes."""
    digest = ParametersDigest(parameter_bytes)
    digest.update(state)
    return digest.digest()
