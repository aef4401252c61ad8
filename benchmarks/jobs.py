"""Jobs for benches: a directory, its processes on the run's Kafka, a small tabular model."""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from benchmarks.bench import Stage
from chiron_stream.clients.provider import ModelProvider
from chiron_stream.job.simulation import InsecureSimulation
from chiron_stream.job.terms import read_terms
from chiron_stream.local.directory import create
from chiron_stream.local.running import COURIER, WORKERS, RunningJob
from chiron_stream.recipe import Constant, Recipe

SIMULATED: Final = InsecureSimulation()
FEATURES: Final = 20
BATCH: Final = 64
OPTIMIZER: Final = partial(torch.optim.SGD, lr=0.05)
SCHEDULE: Final = Constant()
LOSS: Final = nn.CrossEntropyLoss()
CLASSES: Final = (1, 900_000)

Columns = dict[str, npt.NDArray[Any]]


def model() -> nn.Module:
    """Return the tabular MLP, seeded: 20, 256, 256, 2."""
    torch.manual_seed(0)
    return nn.Sequential(
        *(nn.Linear(FEATURES, 256), nn.ReLU()),
        *(nn.Linear(256, 256), nn.ReLU()),
        nn.Linear(256, 2),
    )


def rows(count: int, features: int = FEATURES) -> Columns:
    """Return seeded rows: ``x`` float32, ``y`` classes 0 and 1."""
    generator = np.random.default_rng(0)
    x = generator.standard_normal((count, features), dtype=np.float32).clip(-8, 8)
    return {"x": x, "y": (x[:, 0] * x[:, 1] > 0).astype(np.int64)}


def terms(
    data_sets: Sequence[str] = ("d",),
    features: int = FEATURES,
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
        "columns": [
            {"name": "x", "kind": "tensor", "shape": [features], "low": -8.0, "high": 8.0},
            {"name": "y", "kind": "label", "classes": ["no", "yes"]},
        ],
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


def publish_recipe(job: RunningJob) -> None:
    """Publish the tabular model's recipe."""
    recipe = Recipe.export(
        model(),
        loss=LOSS,
        inputs={"input": "x"},
        target="y",
        optimizer=OPTIMIZER,
        schedule=SCHEDULE,
        batch_size=BATCH,
        columns=job.job.policy.schema.kinds(),
    )
    with ModelProvider(job.job, job.directory.identity("bob"), evidence=SIMULATED) as provider:
        provider.publish(recipe)
