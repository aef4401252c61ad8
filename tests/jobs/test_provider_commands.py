"""Transcripts of a provider's commands around a job over real Kafka."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from chiron_stream.broker.local import LocalKafka
from chiron_stream.local.directory import JobDirectory
from chiron_stream.local.running import RunningJob
from tests.jobs import jobs
from tests.jobs.command import chiron, data_of, error_of
from tests.jobs.conftest import NewDirectory

pytestmark = pytest.mark.kafka

SIMULATION = "--insecure-simulation"
FILE = Path(jobs.__file__).with_name("recipe_of_parcels.py")


@pytest.fixture
def directory(new_directory: NewDirectory, kafka: LocalKafka) -> Iterator[JobDirectory]:
    """A job without a recipe."""
    disclosure = {"progress_bits": 8}
    made = new_directory(owners={"alice": [jobs.DATA_SET]}, disclosure=disclosure)
    with RunningJob(made, bootstrap_servers=kafka.bootstrap_servers):
        yield made


def test_recipe_comes_into_a_job_and_its_reports_come_back(directory: JobDirectory) -> None:
    name, job = directory.job().policy.name, ("--job", str(directory.path))
    jobs.reaches(directory, "waiting")
    shown = chiron("recipe", "status", *job)
    assert (shown.returncode, shown.stderr) == (1, "")
    assert shown.stdout == (
        f"SIMULATED job {name}: no version yet, the coordinator waits for recipe\n"
    )

    refused = chiron("recipe", "publish", FILE, *job, "--json")
    assert (refused.returncode, error_of(refused)["code"]) == (8, "SIMULATION")
    ((kind, fields),) = data_of(chiron("recipe", "publish", FILE, *job, SIMULATION, "--json"))
    ((_, told),) = data_of(chiron("recipe", "explain", FILE, *job, "--json"))
    assert kind == "recipe.imported"
    assert (fields["commitment"], fields["job"]) == (told["commitment"], name)
    again = chiron("recipe", "publish", FILE, *job, SIMULATION, "--json")
    assert (again.returncode, error_of(again)["code"]) == (8, "RECIPE_TAKEN")

    rows = jobs.write_csv(directory.path / "rows.csv", jobs.rows("alice"))
    words = ("--rows-per-shard", "50", "--wait", "trained")
    assert chiron("publish", rows, *job, SIMULATION, *words).returncode == 0
    jobs.reaches(directory, "finished")
    shown = chiron("recipe", "status", *job, "--progress", SIMULATION)
    first, *reports = shown.stdout.splitlines()
    assert shown.returncode == 0
    assert first == (
        f"SIMULATED job {name}: imported, version 4, release 4, finished; "
        "84 bits were told to the provider"
    )
    form = r"round \d: loss [\d.]+, gradients [\d.e-]+ to [\d.e-]+"
    assert [bool(re.fullmatch(form, line)) for line in reports] == [True] * 4
    found = data_of(chiron("recipe", "status", *job, "--progress", SIMULATION, "--json"))
    assert [kind for kind, _ in found] == ["recipe.status", *["recipe.progress"] * 4]
    assert [fields["round"] for _, fields in found[1:]] == [1, 2, 3, 4]


def test_recipe_that_the_job_would_refuse_is_refused_before_anything_is_sent(
    new_directory: NewDirectory,
) -> None:
    narrow = new_directory(limits={"parameter_bytes": 8})  # its broker is nowhere
    words = ("--job", narrow.path, SIMULATION, "--json")
    shown = chiron("recipe", "publish", FILE, *words)
    assert (shown.returncode, error_of(shown)["code"]) == (8, "GRAPH_MEMORY")
