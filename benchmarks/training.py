"""Training through Kafka against the plain PyTorch loop on the same rounds, one thread each.

A round's time through Kafka is between the timestamps of two checkpoints; the plain loop's is its
own over the same plan, on the idle job's machine. Both are medians.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final

import numpy as np
import torch
from torch import nn

from benchmarks import jobs
from benchmarks.bench import Bench, Figure, Goal, Stage
from chiron_stream.broker.extents import read_until
from chiron_stream.clients.auditor import Auditor
from chiron_stream.clients.owner import DataOwner
from chiron_stream.clients.publication import Publication
from chiron_stream.recipe import Round, Slot, parameters_sha256, reference_loop
from chiron_stream.wire.receipts import CheckpointRecord, Plan, read_record

ROWS: Final = 100_000
ROWS_PER_SHARD: Final = 10_000
SHARDS_PER_SLOT: Final = 5
PASSES: Final = 8
TRAIN_SECONDS: Final = 300.0
GOAL: Final = Goal(">=", 0.70)


def benches() -> Iterator[Bench]:
    """Yield the one bench of this module."""
    about = "tabular MLP, 100,000 rows, slots of about 1 s: through Kafka against the plain loop"
    yield Bench("training.tabular", about, measure, ("torch",))


def measure(stage: Stage) -> list[Figure]:
    """Train through Kafka, then in plain PyTorch; the bits must be equal."""
    count = stage.amount(ROWS, 10_000)
    data = jobs.rows(count)
    schedule = {"shards_per_slot": SHARDS_PER_SLOT, "passes": stage.amount(PASSES, 1)}
    workers = {"coordinator": 1, "trainer": 1}
    with jobs.running(stage, jobs.terms(schedule=schedule), workers) as job:
        jobs.publish_recipe(job)
        directory = job.directory
        with DataOwner(job.job, directory.identity("alice"), evidence=jobs.SIMULATED) as owner:
            size = stage.amount(ROWS_PER_SHARD, 1000)
            publication = owner.publish(data, dataset="d", rows_per_shard=size)
            publication.wait("trained", TRAIN_SECONDS)
        with Auditor(job.job, directory.identity("dan"), evidence=jobs.SIMULATED) as auditor:
            plans = _all_plans(auditor, stage.amount(PASSES, 1) * count // size // SHARDS_PER_SLOT)
            through = [later - earlier for earlier, later in pairwise(_times(auditor))]
    plain, digest = _plain(plans, publication, data)
    if digest != plans[-1].parameters.hex():
        raise RuntimeError("the parameters differ from the plain loop's")
    ours, baseline = statistics.median(through), statistics.median(plain)
    rate = count / len(plans) * stage.amount(PASSES, 1)
    return [
        Figure("training.tabular", "rows/s", rate / ours, rate / baseline, GOAL),
        Figure("training.tabular.round", "s", ours, baseline),
    ]


def _all_plans(auditor: Auditor, rounds: int) -> list[Plan]:
    deadline = time.monotonic() + TRAIN_SECONDS
    while len(plans := auditor.plans()) < rounds:
        if time.monotonic() > deadline:
            raise RuntimeError(f"{len(plans)} of {rounds} rounds in time")
        time.sleep(0.5)
    return plans


def _times(auditor: Auditor) -> list[float]:
    """Return when each checkpoint was written, in seconds."""
    place = auditor.partition("receipts")
    end = auditor.broker.watermarks(place).stable
    with auditor.broker.reader({place: 0}) as reader:
        return [
            record.timestamp_ms / 1000
            for record in read_until(reader, place, end)
            if isinstance(read_record(record.value), CheckpointRecord)
        ]


def _plain(
    plans: Sequence[Plan], publication: Publication, data: jobs.Columns
) -> tuple[list[float], str]:
    """Return the seconds of each round of the plain loop, and its parameters' digest."""
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    marks: list[float] = []

    def rounds() -> Iterator[Round]:
        for plan in plans:
            (slot,) = plan.slots
            parts = [publication.sent[shard.number] for shard in slot.shards]
            inputs, target = (
                np.concatenate([data[name][one.start : one.stop] for one in parts])
                for name in ("x", "y")
            )
            marks.append(time.perf_counter())
            yield Round([Slot({"input": inputs}, target, slot.seed)], jobs.BATCH)
        marks.append(time.perf_counter())

    loss = nn.CrossEntropyLoss()
    trained = reference_loop(jobs.model(), loss, jobs.OPTIMIZER, jobs.SCHEDULE, rounds())
    return [later - earlier for earlier, later in pairwise(marks)], parameters_sha256(trained)
