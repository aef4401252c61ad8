"""What a provider can know before publishing: the recipe, the workers' memory, who learns what."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
import torch

from chiron_stream.errors import ChironError, RecipeRefused
from chiron_stream.graph import state
from chiron_stream.graph.schedules import Cosine
from chiron_stream.job.measures import score_bits
from chiron_stream.job.policy import Form, Policy, RecipeLimits
from chiron_stream.recipe import Recipe
from chiron_stream.recipe.learning import answer_bits, channels
from enclave_workers.core.recipes import bound_recipe, check_commitment
from tests.unit.job.builders import DISCLOSURE, POLICY, REGRESSION, SCHEMA, policy_with
from tests.unit.recipe import models
from tests.unit.recipe.exports import export
from tests.unit.recipe.runs import seeded


def icu(**changes: Any) -> Recipe:
    """Return a recipe for the job of the builders: two numbers and a category, three classes."""
    inputs = {"x": ["age", "visits"], "site": "site"}
    kinds = POLICY.schema.kinds()
    options = {"inputs": inputs, "target": "outcome", "columns": kinds, **changes}
    return export(seeded(lambda: models.Rich(2, 3)), **options)


def test_explain_says_what_the_recipe_holds() -> None:
    text = str(export(seeded(models.Plain)).explain())
    assert "input      f32 [rows, 3] from age, bp, hr" in text
    assert "98 in 4 tensors, 98 trained" in text
    assert "4 operations: 1 cross_entropy, 2 linear, 1 relu" in text
    assert "sgd lr=0.1" in text
    assert "schedule   constant" in text
    assert "clip norm  none" in text
    assert "who learns" not in text


def test_explain_says_schedule_and_clipping() -> None:
    text = str(export(models.Plain(), schedule=Cosine(warmup=5, total=50), clip_norm=1.5).explain())
    assert "cosine warmup=5 total=50" in text
    assert "clip norm  1.5" in text


def test_numbers_are_those_of_the_module() -> None:
    module = seeded(models.Frozen)
    found = export(module).explain()
    assert found.parameters == sum(one.numel() for one in module.parameters())
    assert found.trained == sum(one.numel() for one in module.get_submodule("net.2").parameters())
    assert found.eval_ops == {"linear": 2, "relu": 1}
    assert (found.steps, found.learns) == (None, ())


@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.AdamW])
def test_bytes_of_state_are_those_that_a_worker_writes(optimizer: Any) -> None:
    recipe = icu(optimizer=optimizer)
    found = recipe.explain()
    assert found.weights_bytes == len(recipe.weights)
    first = state.dump(state.initial(recipe.checked, recipe.weights))
    moments = 2 * 4 * found.trained if optimizer is torch.optim.AdamW else 0
    assert found.state_bytes == len(first) + 8 + moments


def test_steps_are_those_of_a_full_shard_and_of_a_full_slot() -> None:
    found = icu(batch_size=32).explain(POLICY, rows_per_shard=101).steps
    assert found is not None
    assert (found.rows_per_shard, found.shards_per_slot) == (101, 4)
    assert (found.shard, found.slot) == (4, 13)


def test_explanation_with_a_policy_is_what_the_coordinator_will_hold() -> None:
    recipe = icu()
    assert recipe.fitted(POLICY) == bound_recipe(POLICY, recipe.definition).checked
    assert recipe.explain(POLICY).prediction_bytes < recipe.explain().prediction_bytes


LIMITS = POLICY.recipe
REFUSING: dict[str, Policy] = {
    "GRAPH_MEMORY": policy_with(recipe=replace(LIMITS, parameter_bytes=8)),
    "GRAPH_LIMIT": policy_with(recipe=replace(LIMITS, batch_size=8)),
    "GRAPH_BINDING": policy_with(schema=REGRESSION),
    "RECIPE_COMMITMENT": policy_with(recipe=RecipeLimits(bytes(32), 10**7, 10**8, 128)),
}


@pytest.mark.parametrize("code", REFUSING)
def test_explain_refuses_what_the_coordinator_would_with_its_code(code: str) -> None:
    recipe, policy = icu(), REFUSING[code]
    with pytest.raises(RecipeRefused) as ours:
        recipe.explain(policy)
    with pytest.raises(ChironError) as theirs:
        _imported(policy, recipe)
    assert ours.value.code == theirs.value.code == code


def _imported(policy: Policy, recipe: Recipe) -> None:
    """Check a recipe as the coordinator does."""
    check_commitment(policy, recipe.definition, recipe.weights)
    bound_recipe(policy, recipe.definition)


def test_recipe_that_the_policy_commits_to_is_explained() -> None:
    recipe = icu()
    policy = policy_with(recipe=replace(LIMITS, commitment=recipe.commitment))
    assert recipe.explain(policy).definition == recipe.checked.digest.hex()


@pytest.mark.parametrize(
    ("form", "bits"),
    [
        ({"form": Form.LABEL}, 2),
        ({"form": Form.TOP_K, "k": 1}, 2),
        ({"form": Form.TOP_K, "k": 2, "bits": 4}, 3 + 8),
        ({"form": Form.TOP_K, "k": 3}, 3),
        ({"form": Form.ROUNDED, "bits": 5}, 15),
    ],
)
def test_an_answer_has_the_bits_that_its_form_can_tell_apart(
    form: dict[str, Any], bits: int
) -> None:
    assert answer_bits(replace(DISCLOSURE, **form), SCHEMA.target) == bits


def test_answer_of_a_target_has_the_bits_of_one_number() -> None:
    terms = replace(DISCLOSURE, form=Form.ROUNDED, bits=10)
    assert answer_bits(terms, REGRESSION.target) == 10


def test_nobody_learns_more_than_void_slots_answers_and_plans_by_default() -> None:
    told = {(one.recipient, one.each, one.bits, one.ceiling) for one in channels(POLICY)}
    assert told == {
        ("everybody", "slot", 1, None),
        ("st-mary", "slot", 2, None),
        ("st-john", "slot", 2, None),
        ("ward-7", "answer", 2, 2000),
        ("auditor", "round", 256 * 7, None),
    }


def test_progress_and_scores_show_with_their_ceilings() -> None:
    terms = replace(
        DISCLOSURE, progress_bits=4, progress_ceiling=1700, score_every=3, score_ceiling=600
    )
    found = channels(policy_with(disclosure=terms))
    (progress,) = (one for one in found if one.recipient == "model-lab")
    assert (progress.bits, progress.ceiling) == (terms.report_bits, 1700)
    scores = [one for one in found if one.each == "score"]
    assert [one.recipient for one in scores] == ["st-mary", "st-john"]
    most = score_bits(SCHEMA.target, 2**29 - 1)
    assert {(one.bits, one.ceiling) for one in scores} == {(most, 600)}
    line = "  model-lab: 17 bits each round, 1,700 in all: the loss, the gradients' power of two"
    assert line in str(icu().explain(policy_with(disclosure=terms)))


def test_fields_are_what_json_can_hold_and_hold_no_place_of_the_providers() -> None:
    found = icu().explain(POLICY)
    table = json.loads(json.dumps(found.to_json()))
    assert table["optimizer"]["kind"] == "sgd"
    assert table["inputs"][0]["columns"] == ["age", "visits"]
    assert table["memory"]["trainer"] == 4 * found.state_bytes + found.step_bytes
    assert ".py" not in json.dumps(table)


def test_places_are_kept_beside_what_is_published_and_not_in_it() -> None:
    recipe = export(seeded(models.Plain))
    assert any(".py:" in place for place in recipe.places["train"].values())
    assert recipe == Recipe(recipe.definition, recipe.weights, recipe.checked)
    assert b".py" not in recipe.definition + recipe.weights
