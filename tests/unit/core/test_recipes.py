"""Importing a recipe: the one that the policy names, within its limits, or none."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn

from chiron_stream.graph.checked import commitment
from chiron_stream.job.policy import Policy
from chiron_stream.job.schema import LabelColumn, Schema, TensorColumn
from chiron_stream.recipe import Recipe
from chiron_stream.wire import labels
from chiron_stream.wire.control import RecipeManifest
from chiron_stream.wire.crypto import derive
from chiron_stream.wire.session import Purpose, SessionKeys
from chiron_stream.wire.tasks import KeyedObject
from enclave_workers.core.coordinator.events import Event, ImportDone, ImportFailed
from enclave_workers.core.coordinator.importing import ModelEffects
from enclave_workers.core.coordinator.state import Context, ImportEffect, Session, State
from enclave_workers.core.lookup import read_object, write_object
from tests.unit.core.shelf import Shelf
from tests.unit.core.story import POLICY, tampered

SESSION, KEY = bytes(16), bytes([3]) * 32
SCHEMA = Schema((TensorColumn("x", (3,), "float32", -8, 8), LabelColumn("y", ("no", "yes"))))
LIMITS = replace(POLICY.recipe, parameter_bytes=1 << 20, activation_bytes=1 << 24)
TERMS = replace(POLICY, schema=SCHEMA, recipe=LIMITS)


def terms(**limits: Any) -> Policy:
    return replace(TERMS, recipe=replace(LIMITS, **limits))


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    torch.manual_seed(0)
    return Recipe.export(
        nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 2)),
        loss=nn.CrossEntropyLoss(),
        inputs={"input": "x"},
        target="y",
        optimizer=partial(torch.optim.SGD, lr=0.1),
        batch_size=8,
        columns={"x": ("tensor", (3,)), "y": ("label", ())},
    )


class Provider:
    """A recipe's chunks on ``bulk``, and a coordinator that is to import it."""

    def __init__(self, definition: bytes, weights: bytes) -> None:
        self.link = Shelf()
        session = Session(bytes(32), Purpose.RECIPE, bytes(32), "", 0, 0, bytes(32))
        self._state = State(sessions={SESSION: session})
        key = SessionKeys(SESSION, session.prk).recipe
        refs = [
            write_object(self.link, "bulk", key, bytes([number]) * 16, data)
            for number, data in enumerate((definition, weights))
        ]
        self._effect = ImportEffect(RecipeManifest(*refs), SESSION)

    def imported(self, policy: Policy = TERMS) -> Event:
        context = Context(policy, bytes(32), bytes(32), KEY)
        return ModelEffects(self.link, context).import_recipe(self._state, self._effect)

    def refusal(self, policy: Policy = TERMS) -> str:
        """Return why the recipe is refused; nothing of it is written then."""
        event = self.imported(policy)
        assert isinstance(event, ImportFailed)
        assert "coordinator-chunks" not in self.link.topics
        return event.code


def test_version_0_is_the_recipe_s_weights(recipe: Recipe) -> None:
    provider = Provider(recipe.definition, recipe.weights)
    event = provider.imported()
    assert isinstance(event, ImportDone)
    assert (event.batch_size, event.parameter_bytes) == (8, len(recipe.weights))
    keyed = KeyedObject(event.ref, derive(KEY, labels.K_VERSION, 0))
    assert read_object(provider.link, keyed).startswith(recipe.weights)


def test_recipe_that_the_policy_commits_to_is_imported(recipe: Recipe) -> None:
    policy = terms(commitment=commitment(recipe.definition, recipe.weights))
    assert isinstance(Provider(recipe.definition, recipe.weights).imported(policy), ImportDone)


def test_recipe_that_the_policy_does_not_commit_to_is_refused(recipe: Recipe) -> None:
    policy = terms(commitment=commitment(recipe.definition, recipe.weights))
    others = bytes(4) + recipe.weights[4:]
    slower = recipe.definition.replace(b'"lr":0.1', b'"lr":0.2')
    assert slower != recipe.definition
    for definition, weights in ((recipe.definition, others), (slower, recipe.weights)):
        provider = Provider(definition, weights)
        assert isinstance(provider.imported(), ImportDone)
        assert Provider(definition, weights).refusal(policy) == "RECIPE_COMMITMENT"


@pytest.mark.parametrize(
    ("limits", "code"),
    [
        ({"batch_size": 7}, "GRAPH_LIMIT"),
        ({"parameter_bytes": 199}, "GRAPH_MEMORY"),
        ({"activation_bytes": 100}, "GRAPH_MEMORY"),
    ],
)
def test_recipe_beyond_a_limit_of_the_policy_is_refused(
    recipe: Recipe, limits: dict[str, int], code: str
) -> None:
    assert Provider(recipe.definition, recipe.weights).refusal(terms(**limits)) == code


def test_recipe_of_columns_that_the_schema_does_not_have_is_refused(recipe: Recipe) -> None:
    policy = replace(TERMS, schema=replace(SCHEMA, columns=SCHEMA.columns[1:]))
    assert Provider(recipe.definition, recipe.weights).refusal(policy) == "GRAPH_BINDING"


@pytest.mark.parametrize("weights", [b"", b"too short", bytes(100_000)])
def test_weights_of_another_length_are_refused(recipe: Recipe, weights: bytes) -> None:
    assert Provider(recipe.definition, weights).refusal() == "GRAPH_STATE"


@pytest.mark.parametrize("definition", [b"", b"{}", b"\x80\x04N.", b"[" * 10_000])
def test_bytes_that_are_no_recipe_are_refused(recipe: Recipe, definition: bytes) -> None:
    assert Provider(definition, recipe.weights).refusal().startswith("GRAPH_")


@pytest.mark.parametrize("place", [0, 1])
def test_recipe_with_an_altered_or_a_withheld_chunk_is_refused(recipe: Recipe, place: int) -> None:
    provider = Provider(recipe.definition, recipe.weights)
    bulk = provider.link.topics["bulk"]
    bulk[place] = tampered(bulk[place], -1)
    assert provider.refusal() == "DOES_NOT_OPEN"
    del bulk[place]
    assert provider.refusal() == "CHUNK_MISSING"
