"""Rehearsals: training at home is a worker's, on rows that are checked as an owner's are."""

from __future__ import annotations

import json
import math
import signal
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache, partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from chiron_stream.errors import RecipeRefused, SchemaMismatch, UsageRefused
from chiron_stream.graph.numerics import configure_numerics
from chiron_stream.graph.schedules import Constant, Cosine
from chiron_stream.job.measures import ERROR_STEPS
from chiron_stream.job.policy import Policy
from chiron_stream.job.rows import prepare
from chiron_stream.job.schema import LabelColumn, NumberColumn, Schema
from chiron_stream.recipe import (
    Recipe,
    Rehearsal,
    Round,
    Slot,
    parameters_sha256,
    reference_loop,
)
from chiron_stream.recipe.rehearsing import score
from enclave_workers.core.trainer import evaluating
from tests.unit.job.builders import POLICY, REGRESSION, SCHEMA, policy_with
from tests.unit.recipe import models
from tests.unit.recipe.runs import seeded

ROWS, BATCH = 300, 16
OPTIMIZER = partial(torch.optim.AdamW, lr=0.01)
SCHEDULE = Cosine(warmup=5, total=200)
LOSS = nn.CrossEntropyLoss()
INPUTS: Mapping[str, Any] = {"x": ["age", "visits"], "site": "site"}
LEARNABLE = 0.8
"""An accuracy that guessing does not come to."""


def sample(rows: int = ROWS) -> dict[str, Any]:
    """Return rows of the builders' job, from which the outcome can be learned."""
    dice = np.random.default_rng(0)
    age = dice.uniform(0, 120, rows).astype(np.float32)
    site = dice.choice(["north", "south", "elsewhere"], rows)
    outcome = np.array(["home", "ward", "died"])[(age // 40.01).astype(int)]
    return {
        "age": np.where(dice.uniform(size=rows) < 0.02, np.nan, age),
        "visits": dice.integers(0, 1000, rows),
        "site": site.tolist(),
        "scan": dice.integers(0, 255, (rows, 2, 3)),
        "outcome": outcome.tolist(),
    }


def module() -> nn.Module:
    return seeded(Scaled)


class Scaled(nn.Module):
    """Numbers brought to a size that a network likes; dropout and batch norm behind it."""

    factors: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("factors", torch.tensor([0.01, 0.001]))
        self.net = models.Rich(2, 3)

    def forward(self, x: torch.Tensor, site: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.net(x * self.factors, site)
        return found


def export(made: nn.Module, **changes: Any) -> Recipe:
    options: dict[str, Any] = {
        "loss": LOSS,
        "inputs": INPUTS,
        "target": "outcome",
        "optimizer": OPTIMIZER,
        "schedule": SCHEDULE,
        "clip_norm": 1.0,
        "batch_size": BATCH,
        "columns": POLICY.schema.kinds(),
        **changes,
    }
    return Recipe.export(made, **options)


@cache
def recipe() -> Recipe:
    return export(module())


def rehearse(seed: int = 0, **changes: Any) -> Rehearsal:
    return recipe().rehearse(sample(), POLICY, rows_per_shard=30, seed=seed, **changes)


@cache
def rehearsed() -> Rehearsal:
    return rehearse(passes=8)


def plain(found: Rehearsal) -> nn.Module:
    """Train in plain PyTorch over the same rows, in a thread: denormals are flushed there only."""
    table = prepare(SCHEMA, sample()).columns
    rounds = []
    for one in found.slots:
        part = {name: array[one.rows] for name, array in table.items()}
        x = np.stack([part["age"], part["visits"].astype(np.float32)], axis=1)
        rounds.append(Round([Slot({"x": x, "site": part["site"]}, part["outcome"], one.seed)], 16))

    def train() -> nn.Module:
        configure_numerics()
        return reference_loop(module(), LOSS, OPTIMIZER, SCHEDULE, rounds, clip_norm=1.0)

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(train).result()


def test_parameters_are_those_of_the_reference_loop_bit_for_bit() -> None:
    assert rehearsed().parameters == parameters_sha256(plain(rehearsed()))


def test_comparison_notices_another_seed_of_one_slot() -> None:
    """The control."""
    found = rehearsed()
    slots = (replace(found.slots[0], seed=found.slots[0].seed + 1), *found.slots[1:])
    assert found.parameters != parameters_sha256(plain(replace(found, slots=slots)))


def test_same_seed_gives_the_same_and_another_seed_another() -> None:
    one, two, other = rehearse(passes=1), rehearse(passes=1), rehearse(passes=1, seed=1)
    assert (one.parameters, one.losses, one.scores) == (two.parameters, two.losses, two.scores)
    assert one.parameters != other.parameters
    assert one.held_out.tolist() != other.held_out.tolist()


def test_each_row_trains_once_a_pass_and_held_out_rows_never() -> None:
    found = rehearsed()
    for sweep in range(1, 9):
        rows = [row for one in found.slots if one.sweep == sweep for row in one.rows.tolist()]
        assert sorted(rows + found.held_out.tolist()) == list(range(ROWS))
    assert len(found.held_out) == 60
    orders = {tuple(found.slots[n].rows.tolist()) for n in (0, 2, 4, 6)}
    assert len(orders) > 1, "each pass has another order of shards"


def test_slots_are_cut_as_the_policy_says() -> None:
    found = rehearse(passes=2)
    assert [len(one.rows) for one in found.slots] == [120, 120, 120, 120]
    assert [one.sweep for one in found.slots] == [1, 1, 2, 2]
    whole = recipe().rehearse(sample(), POLICY, held_out=0.0, rows_per_shard=50)
    assert [one.sweep for one in whole.slots] == [1, 1, 2, 2, 3, 3], "passes are the policy's"
    assert (len(whole.held_out), whole.scores, whole.score) == (0, (), None)


def test_curve_falls_and_the_score_on_rows_that_never_trained_rises() -> None:
    found = rehearsed()
    losses = [loss for loss, _ in found.passes]
    assert losses[-1] < 0.8 * losses[0]
    assert len(found.losses) == sum(len(one.losses) for one in found.slots) == 8 * 16
    assert len(found.scores) == 9
    assert found.score == found.scores[-1]
    before, after = found.scores[0].accuracy, found.scores[-1].accuracy
    assert before is not None
    assert after is not None
    assert after > max(before, LEARNABLE)


def test_score_is_that_of_the_model_in_plain_torch() -> None:
    found = rehearsed()
    table = prepare(SCHEMA, sample()).columns
    held = {name: array[found.held_out] for name, array in table.items()}
    x = torch.tensor(np.stack([held["age"], held["visits"].astype(np.float32)], axis=1))
    with torch.no_grad():
        best = plain(found).eval()(x=x, site=torch.tensor(held["site"])).argmax(1).numpy()
    assert found.scores[-1].accuracy == float(np.mean(best == held["outcome"]))


@pytest.mark.parametrize("schema", [SCHEMA, REGRESSION], ids=["label", "target"])
def test_score_is_what_a_trainer_counts(schema: Schema) -> None:
    dice, target = np.random.default_rng(1), schema.target
    if isinstance(target, LabelColumn):
        made = dice.standard_normal((50, 3)).astype(np.float32)
        made[7] = math.nan
        wanted = dice.integers(0, 3, 50)
    else:
        made = dice.uniform(-50, 500, (50, 1)).astype(np.float32)
        made[7], made[8], made[9] = math.nan, math.inf, -math.inf
        wanted = dice.uniform(0, 400, 50).astype(np.float32)
    ours = score(target, made, wanted)
    theirs = evaluating.score(target, evaluating._tally(made, wanted, target), 50)
    if isinstance(target, LabelColumn):
        assert ours.accuracy == theirs / 50
    else:
        assert ours.error == pytest.approx(theirs / ERROR_STEPS * 400, abs=2 * 400 / ERROR_STEPS)


def test_regression_is_rehearsed() -> None:
    policy = policy_with(schema=REGRESSION)
    made = Recipe.export(
        nn.Sequential(nn.Linear(1, 1), nn.Flatten(0)),
        loss=nn.L1Loss(),
        inputs={"input": ["age"]},
        target="days",
        optimizer=partial(torch.optim.Adam, lr=1.0),
        columns=REGRESSION.kinds(),
    )
    age = np.random.default_rng(0).uniform(0, 120, 400)
    found = made.rehearse({"age": age, "days": 2 * age + 100}, policy, passes=30)
    assert found.score is not None
    assert found.score.accuracy is None
    assert found.score.error is not None
    assert found.score.error < 40
    assert "error" in str(found)


def test_text_shows_curve_rows_time_memory_and_who_learns() -> None:
    lines = str(rehearsed()).splitlines()
    assert lines[0] == "rows       240 to train on, 60 held out"
    assert lines[1:3] == ["shards     of 30 rows", "a pass     16 steps in 2 slots"]
    assert lines[3] == "rounds     of one slot; the job merges 2 in each"
    assert lines[4].startswith("before     accuracy 0.")
    assert [line.split()[1] for line in lines[5:13]] == [str(n) for n in range(1, 9)]
    bars = [line.count("#") for line in lines[5:13]]
    assert max(bars) == bars[0] == 30
    assert bars[-1] < 25
    for start in ("time", "memory", "parameters", "who learns", "  everybody"):
        assert any(line.startswith(start) for line in lines), start


def test_text_of_many_passes_shows_some_with_the_first_and_the_last() -> None:
    text = str(rehearse(passes=40, held_out=0.5))
    shown = [line.split()[1] for line in text.splitlines() if line.startswith("pass ")]
    assert len(shown) == 12
    assert (shown[0], shown[-1]) == ("1", "40")


def test_fields_are_what_json_can_hold() -> None:
    table = json.loads(json.dumps(rehearsed().to_json()))
    assert (table["rows"], table["held_out"], table["steps"]) == (240, 60, 128)
    assert table["passes"][0]["loss"] == rehearsed().passes[0][0]
    assert table["learns"][0]["recipient"] == "everybody"


def test_progress_hears_of_each_step() -> None:
    heard: list[tuple[int, int, float]] = []
    found = rehearse(passes=1, progress=lambda *one: heard.append(one))
    assert [(done, whole) for done, whole, _ in heard] == [(n, 16) for n in range(1, 17)]
    assert tuple(loss for _, _, loss in heard) == found.losses


# memory


def test_peak_is_between_what_must_be_there_and_what_explain_allows() -> None:
    found, told = rehearsed(), recipe().explain(POLICY)
    assert 2 * told.weights_bytes < found.peak_bytes < told.memory.trainer


def test_peak_grows_with_the_rows_of_a_batch() -> None:
    small = export(module(), batch_size=16).rehearse(sample(), POLICY, passes=1)
    large = export(module(), batch_size=128).rehearse(sample(), POLICY, passes=1)
    activations = 16 * 4 * (128 - 16)
    assert large.peak_bytes > small.peak_bytes + 3 * activations


# what is refused


def refused(made: Recipe, code: str, rows: Any = None, policy: Policy = POLICY) -> RecipeRefused:
    with pytest.raises(RecipeRefused) as caught:
        made.rehearse(sample() if rows is None else rows, policy, rows_per_shard=30)
    assert caught.value.code == code
    return caught.value


def test_rows_are_checked_as_an_owners_are_and_nothing_is_trained() -> None:
    heard: list[int] = []
    rows = {**sample(), "visits": [*range(100), 1001, *range(199)]}
    with pytest.raises(SchemaMismatch, match=r"column 'visits', row 100 \(from 0\)") as caught:
        recipe().rehearse(rows, POLICY, progress=lambda *_: heard.append(1))
    assert "1001" not in str(caught.value.diagnostics())
    assert heard == []


def test_columns_that_the_schema_does_not_name_are_dropped_and_listed() -> None:
    found = recipe().rehearse({**sample(), "ward": ["x"] * ROWS}, POLICY, passes=1)
    assert found.dropped == ("ward",)
    assert "columns    ward: not in the schema, not used" in str(found)


def test_recipe_that_the_coordinator_would_refuse_is_refused() -> None:
    limits = replace(POLICY.recipe, parameter_bytes=8)
    refused(recipe(), "GRAPH_MEMORY", policy=policy_with(recipe=limits))


class Narrow(nn.Module):
    """A table of two sites, where there are three."""

    def __init__(self) -> None:
        super().__init__()
        self.site = nn.Embedding(2, 3)

    def forward(self, x: torch.Tensor, site: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.site(site) + x.mean(1, keepdim=True)
        return found


class Logarithm(Narrow):
    """The logarithm of numbers of which some are 0, or below."""

    def __init__(self) -> None:
        super().__init__()
        self.site = nn.Embedding(3, 3)

    def forward(self, x: torch.Tensor, site: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.site(site) + torch.log(x[:, :1] - 200.0)
        return found


class Root(Logarithm):
    """The root of 0: its slope is infinite."""

    def forward(self, x: torch.Tensor, site: torch.Tensor) -> torch.Tensor:
        made = self.site(site)
        found: torch.Tensor = made + torch.sqrt(made - made) + x.mean(1, keepdim=True) * 0.0
        return found


def line_of(kind: type[nn.Module], words: str) -> str:
    import inspect

    lines, first = inspect.getsourcelines(kind.forward)
    return f"test_rehearsing.py:{first + next(n for n, one in enumerate(lines) if words in one)}"


def test_row_that_the_graph_does_not_run_on_names_module_and_line() -> None:
    error = refused(export(Narrow()), "GRAPH_RUN")
    assert error.hint is not None
    assert "site (Embedding)" in error.hint
    assert line_of(Narrow, "self.site(site)") in error.hint


def test_number_that_is_none_names_module_line_and_operation() -> None:
    error = refused(export(Logarithm()), "NOT_FINITE")
    assert error.hint is not None
    assert line_of(Logarithm, "torch.log") in error.hint
    assert ": log makes it" in error.hint
    assert "slot 1 would be left out: not finite from step 0 on" in error.message


def test_gradient_that_is_none_is_told_apart() -> None:
    error = refused(export(Root(), clip_norm=None), "NOT_FINITE")
    assert "its gradients are not" in (error.hint or "")


def test_numbers_that_grew_are_told_apart() -> None:
    made = export(
        module(), optimizer=partial(torch.optim.SGD, lr=1e6), clip_norm=None, schedule=Constant()
    )
    error = refused(made, "NOT_FINITE")
    assert "grew in training" in (error.hint or "")


class Masked(Logarithm):
    """Infinities that are meant, and a logarithm that is not."""

    def forward(self, x: torch.Tensor, site: torch.Tensor) -> torch.Tensor:
        far = (-(x[:, :1] * 100.0).exp()).exp()
        found: torch.Tensor = self.site(site) + far + torch.log(x[:, :1] - 200.0)
        return found


def test_infinities_that_are_meant_are_not_blamed() -> None:
    error = refused(export(Masked()), "NOT_FINITE")
    assert line_of(Masked, "torch.log") in (error.hint or "")


@pytest.mark.parametrize(
    "wrong",
    [
        {"held_out": 1.0},
        {"held_out": -0.1},
        {"passes": 0},
        {"rows_per_shard": 0},
        {"seed": -1},
        {"threads": 0},
    ],
    ids=str,
)
def test_arguments_that_cannot_mean_anything_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageRefused):
        recipe().rehearse(sample(), POLICY, **wrong)


def test_sample_of_too_few_rows_is_refused() -> None:
    rows = {name: column[:2] for name, column in sample().items()}
    with pytest.raises(SchemaMismatch) as caught:
        recipe().rehearse(rows, POLICY, held_out=0.5)
    assert caught.value.code == "NO_ROWS"


def test_a_single_row_joins_the_shard_before() -> None:
    rows = {name: column[:61] for name, column in sample().items()}
    found = recipe().rehearse(rows, POLICY, held_out=0.0, rows_per_shard=30, passes=1)
    assert [len(one.rows) for one in found.slots] == [61]


# the caller's process


@pytest.mark.parametrize("deterministic", [False, True])
def test_settings_of_the_process_are_as_before(deterministic: bool) -> None:
    threads = torch.get_num_threads()
    torch.use_deterministic_algorithms(deterministic)
    state = torch.get_rng_state()
    torch.set_flush_denormal(False)
    rehearse(passes=1, threads=2 if threads == 1 else 1)
    assert torch.get_num_threads() == threads
    assert torch.are_deterministic_algorithms_enabled() is deterministic
    assert float(torch.tensor(1e-38) * 0.1) > 0
    assert torch.equal(torch.get_rng_state(), state)


def test_interrupt_ends_a_rehearsal_at_its_next_step() -> None:
    heard: list[int] = []

    def progress(done: int, _all: int, _loss: float) -> None:
        heard.append(done)
        if done == 3:
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        rehearse(passes=2000, progress=progress)
    assert 3 <= len(heard) < 32_000, "it ended before its end"


def test_error_of_the_callers_progress_comes_back_to_the_caller() -> None:
    def progress(*_: object) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        rehearse(progress=progress)


def test_schema_with_a_mask_trains_on_it() -> None:
    made = export(module(), inputs={"x": ["age", "age:mask"], "site": "site"})
    assert made.rehearse(sample(), POLICY, passes=1).losses
    assert isinstance(SCHEMA.columns[0], NumberColumn)
