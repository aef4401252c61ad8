"""What parties get wrong, or try: refused by name, where they can mend it."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import nn

from chiron_stream import DataOwner, Recipe
from chiron_stream.broker.local import LocalKafka
from chiron_stream.clients.identity import Identity
from chiron_stream.errors import (
    JobRefused,
    PolicyRefused,
    RecipeRefused,
    SchemaMismatch,
    Timeout,
)
from chiron_stream.local.directory import JobDirectory
from chiron_stream.local.running import RunningJob
from tests.jobs import jobs
from tests.jobs.conftest import Finished, NewDirectory
from tests.jobs.jobs import Parties

pytestmark = pytest.mark.kafka

Table = dict[str, Any]


@pytest.fixture(scope="module")
def fresh(kafka: LocalKafka, new_directory: NewDirectory) -> Iterator[JobDirectory]:
    """A job with nothing but a coordinator, which gets no good recipe here."""
    directory = new_directory()
    with RunningJob(
        directory, bootstrap_servers=kafka.bootstrap_servers, workers={"coordinator": 1}
    ):
        yield directory


# keys


def test_key_that_is_not_in_the_roster_is_refused_before_anything_is_sent(
    finished: Finished,
) -> None:
    with pytest.raises(JobRefused) as refused:
        DataOwner(finished.directory.job(), Identity.generate("alice"), evidence=jobs.SIMULATED)
    assert refused.value.code == "ROSTER"
    assert refused.value.got == "no such identity"


def test_coordinator_admits_no_key_that_is_not_in_the_roster(
    fresh: JobDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DataOwner, "_check_roster", lambda _self, _job: None)
    stranger = DataOwner(fresh.job(), Identity.generate("alice"), evidence=jobs.SIMULATED)
    with stranger, pytest.raises(Timeout):
        stranger.open(data_set=jobs.DATA_SET, timeout=2)
    assert "ROSTER" in {one.code for one in jobs.rejected(fresh.job())}


# recipes


class Fourier(nn.Module):
    """A model with an operation that no closed graph has."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(len(jobs.NUMBERS), 2)

    def forward(self, input: torch.Tensor) -> torch.Tensor:  # noqa: A002  (torch's word)
        spectrum = torch.fft.fft(input).real
        return self.last(spectrum)  # type: ignore[no-any-return]


def test_export_shows_the_line_of_an_operation_outside_the_closed_graph() -> None:
    with pytest.raises(RecipeRefused) as refused:
        jobs.export(Fourier())
    assert refused.value.code == "EXPORT_OP"
    told = " ".join(refused.value.diagnostics().values())
    assert "test_bad_input.py" in told
    assert "spectrum = torch.fft.fft(input).real" in told or "line" in told


def altered(recipe: Recipe, change: Callable[[Table], object]) -> Recipe:
    """Return a recipe whose definition somebody wrote by hand."""
    table = copy.deepcopy(json.loads(recipe.definition))
    change(table)
    return Recipe(json.dumps(table).encode(), recipe.weights, recipe.checked)


HOSTILE: dict[str, tuple[Callable[[Table], object], str]] = {
    "unknown operation": (lambda t: t["train"]["nodes"][0].__setitem__(1, "system"), "GRAPH_OP"),
    "dotted name": (lambda t: t["train"]["nodes"][0].__setitem__(1, "__import__"), "GRAPH_OP"),
    "forward reference": (
        lambda t: t["train"]["nodes"][0][2].__setitem__(0, {"ref": 10_000}),
        "GRAPH_REFERENCE",
    ),
    "unknown field": (lambda t: t.__setitem__("code", "print()"), "GRAPH_FORMAT"),
    "endless batch": (lambda t: t.__setitem__("batch_size", 10**9), "GRAPH_LIMIT"),
    "column of nobody": (
        lambda t: t["inputs"][0]["columns"].__setitem__(0, "salary"),
        "GRAPH_BINDING",
    ),
    "label as an input": (
        lambda t: t["inputs"][0]["columns"].__setitem__(0, "size"),
        "GRAPH_BINDING",
    ),
}


@pytest.mark.parametrize(("change", "code"), HOSTILE.values(), ids=HOSTILE)
def test_coordinator_refuses_a_hostile_definition_and_the_provider_is_told_why(
    fresh: JobDirectory, recipe: Recipe, change: Callable[[Table], object], code: str
) -> None:
    with Parties(fresh) as parties, pytest.raises(RecipeRefused) as refused:
        parties.provider().publish(altered(recipe, change))
    assert refused.value.code == code
    assert refused.value.message


@pytest.mark.parametrize("length", [0, 3, -4])
def test_coordinator_refuses_weights_of_another_length(
    fresh: JobDirectory, recipe: Recipe, length: int
) -> None:
    weights = recipe.weights[:length] if length <= 0 else recipe.weights + bytes(length)
    with Parties(fresh) as parties, pytest.raises(RecipeRefused) as refused:
        parties.provider().publish(Recipe(recipe.definition, weights, recipe.checked))
    assert refused.value.code.startswith("GRAPH_")


def test_second_recipe_of_a_job_is_refused(finished: Finished, recipe: Recipe) -> None:
    with Parties(finished.directory) as parties, pytest.raises(RecipeRefused) as refused:
        parties.provider().publish(recipe)
    assert refused.value.code == "RECIPE_TAKEN"


# rows


def publish(directory: JobDirectory, table: Table, **options: Any) -> None:
    with Parties(directory) as parties:
        owner = parties.owner("alice")
        owner.publish(table, dataset=jobs.DATA_SET, **options).wait("accepted", 30)


def part(table: Table, stop: int) -> Table:
    return {name: column[:stop] for name, column in table.items()}


def test_empty_data_is_refused(fresh: JobDirectory) -> None:
    with pytest.raises(SchemaMismatch) as refused:
        publish(fresh, part(jobs.rows("alice"), 0))
    assert "row" in refused.value.message


def test_shard_larger_than_the_largest_class_is_refused_and_nothing_is_announced(
    kafka: LocalKafka, new_directory: NewDirectory, fresh: JobDirectory
) -> None:
    directory = new_directory(shard_classes=[[1, 1024]])
    with (
        RunningJob(
            directory, bootstrap_servers=kafka.bootstrap_servers, workers={"coordinator": 1}
        ),
        pytest.raises(PolicyRefused) as refused,
    ):
        publish(directory, jobs.rows("alice"), rows_per_shard=200)
    assert refused.value.code == "SHARD_TOO_LARGE"
    assert jobs.records(directory.job(), "shards") == []


def test_data_set_that_the_policy_does_not_list_is_refused(fresh: JobDirectory) -> None:
    with Parties(fresh) as parties, pytest.raises(JobRefused) as refused:
        parties.owner("alice").publish(jobs.rows("alice"), dataset="secrets")
    assert refused.value.code == "DATA_SET"


def test_more_rows_under_a_finished_data_set_are_refused(finished: Finished) -> None:
    table = jobs.rows("alice")
    more = {name: [*column, column[0]] for name, column in table.items()}
    with pytest.raises(PolicyRefused) as refused:
        publish(finished.directory, more)
    assert refused.value.code == "AFTER_FIN"


def test_fewer_rows_under_a_finished_data_set_are_refused(finished: Finished) -> None:
    with pytest.raises(PolicyRefused) as refused:
        publish(finished.directory, part(jobs.rows("alice"), 150))
    assert refused.value.code == "OTHER_DATA"
