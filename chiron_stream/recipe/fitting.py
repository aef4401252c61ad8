"""Whether a job takes a recipe, at home: the checks that its coordinator makes, and their words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final, TypeAlias

from chiron_stream.errors import RecipeRefused
from chiron_stream.graph.checked import CheckedRecipe, Limits, commitment
from chiron_stream.graph.checker import check
from chiron_stream.graph.columns import bind
from chiron_stream.job.policy import Policy

Places: TypeAlias = Mapping[str, Mapping[int, str]]
"""For each graph, "train" and "eval", by a node's id: the provider's module and line."""

_NODE: Final = re.compile(r"(train|eval) graph, node (\d+)")


def fitted(definition: bytes, weights: bytes, policy: Policy, places: Places) -> CheckedRecipe:
    """Return what the coordinator of a job will hold of this recipe.

    :raises RecipeRefused: with the code that the coordinator would refuse it with.
    """
    wanted = policy.recipe.commitment
    if wanted is not None and commitment(definition, weights) != wanted:
        raise RecipeRefused(
            "the recipe is not the one that the policy commits to",
            code="RECIPE_COMMITMENT",
            expected=wanted.hex(),
            got=commitment(definition, weights).hex(),
        )
    with located(places):
        checked = check(definition, limits_of(policy))
    bind(checked.definition, policy.schema.kinds())
    return checked


def limits_of(policy: Policy) -> Limits:
    """Return what a recipe may ask of a job's workers."""
    return Limits(
        max_parameter_bytes=policy.recipe.parameter_bytes,
        max_activation_bytes=policy.recipe.activation_bytes,
        max_batch=policy.recipe.batch_size,
        prediction_batch=max(2, policy.predictor_batch),
    )


@contextmanager
def located(places: Places) -> Iterator[None]:
    """Let a refusal that names a node say in its hint which module and line the node is from."""
    try:
        yield
    except RecipeRefused as error:
        if found := _NODE.match(error.message):
            error.hint = places.get(found[1], {}).get(int(found[2]), error.hint)
        raise
