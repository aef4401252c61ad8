"""Jobs for benches: a directory, its processes on the run's Kafka, and a model's recipe."""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from benchmarks.bench import Stage
from benchmarks.workloads import MLP, Workload
from chiron_stream.clients.provider import ModelProvider
from chiron_stream.job.simulation import InsecureSimulation
from chiron_stream.job.terms import read_terms
from chiron_stream.local.directory import create
from chiron_stream.local.running import COURIER, WORKERS, RunningJob

SIMULATED: Final = InsecureSimulation()
CLASSES: Final = (1, 900_000)


def terms(
    workload: Workload = MLP,
    data_sets: Sequence[str] = ("d",),
    schedule: Mapping[str, int] | None = None,
) -> dict[str, Any]:
    """Return terms as a table."""
    return {
        "name": f"bench-{uuid.uuid4().hex[:12]}",
        "owners": {"alice": list(data_sets)},
        "provider": "bob",
        "clients": ["carol"],
        "auditor": "dan",
        "seed": "bench",
        "columns": list(workload.columns),
        "schedule": dict(schedule or {}),
        "disclosure": {"answers_per_client": 1_000_000, "grant_size": 20_000},
        "shard_classes": [[1, 16_384], [1, 131_072], list(CLASSES), [8, 900_000]],
    }


@contextmanager
def running(
    stage: Stage,
    table: Mapping[str, Any],
    workers: Mapping[str, int] = WORKERS,
    courier: Sequence[str] = COURIER,
) -> Iterator[RunningJob]:
    """Give a job of these terms with its workers on the run's Kafka."""
    with tempfile.TemporaryDirectory(prefix="chiron-bench-") as scratch:
        directory = create(Path(scratch) / "job", read_terms(table))
        with RunningJob(
            directory, bootstrap_servers=stage.endpoint, workers=workers, courier=courier
        ) as job:
            yield job


def publish_recipe(job: RunningJob, workload: Workload = MLP) -> None:
    """Publish a model's recipe."""
    recipe = workload.spec().export(job.job.policy.schema.kinds())
    with ModelProvider(job.job, job.directory.identity("bob"), evidence=SIMULATED) as provider:
        provider.publish(recipe)
