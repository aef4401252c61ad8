"""One job of a bench, trained to its end through Kafka: its plan, and when each round ended."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

from benchmarks import jobs, plain
from benchmarks.bench import Stage
from benchmarks.workloads import WORKLOADS
from chiron_stream.broker.extents import read_until
from chiron_stream.clients.auditor import Auditor
from chiron_stream.clients.owner import DataOwner
from chiron_stream.local.running import COURIER, RunningJob
from chiron_stream.wire.receipts import CheckpointRecord, Plan, read_record

TRAIN_SECONDS: Final = 400.0
WORKERS: Final = {"coordinator": 1, "trainer": 1}


@dataclass(frozen=True)
class Size:
    """A workload by name, its data set, and how it is trained."""

    workload: str
    rows: int
    rows_per_shard: int
    shards_per_slot: int
    passes: int
    slots: int = 1

    @property
    def rounds(self) -> int:
        """How many rounds there are."""
        return self.passes * self.rows // self.rows_per_round

    @property
    def rows_per_round(self) -> int:
        """Rows that all slots of a round train on."""
        return self.slots * self.rows_per_shard * self.shards_per_slot


@dataclass(frozen=True)
class Trained:
    """What a job came to.

    :param seconds: of each round but the first, from one checkpoint's timestamp to the next.
    :param rounds: the slots that were planned for each, for the plain loop.
    :param parameters: digest, in hexadecimal.
    :param logs: of each worker, by name.
    """

    seconds: list[float]
    rounds: list[list[plain.Slot]]
    parameters: str
    logs: Mapping[str, str]


Watched = Callable[[RunningJob], AbstractContextManager[object]]
"""What goes on around the training of a job."""


def train(
    stage: Stage,
    size: Size,
    workers: Mapping[str, int] = WORKERS,
    courier: Sequence[str] = COURIER,
    watched: Watched = lambda _job: nullcontext(),
) -> Trained:
    """Run a job to its end."""
    workload = WORKLOADS[size.workload]
    schedule = {
        "slots": size.slots,
        "shards_per_slot": size.shards_per_slot,
        "passes": size.passes,
    }
    terms = jobs.terms(workload, schedule=schedule)
    with jobs.running(stage, terms, workers, courier) as job:
        jobs.publish_recipe(job, workload)
        directory = job.directory
        with (
            DataOwner(job.job, directory.identity("alice"), evidence=jobs.SIMULATED) as owner,
            Auditor(job.job, directory.identity("dan"), evidence=jobs.SIMULATED) as auditor,
        ):
            data = dict(workload.rows(size.rows, 0))
            publication = owner.publish(data, dataset="d", rows_per_shard=size.rows_per_shard)
            with watched(job):
                plans = _all_plans(auditor, size.rounds)
            sent = publication.sent.items()
            parts = {number: (one.start, one.stop) for number, one in sent}
            times = _times(auditor)
        logs = {path.stem: path for path in directory.run.glob("*.log")}
        return Trained(
            [later - earlier for earlier, later in pairwise(times)],
            [_slots(plan, parts) for plan in plans],
            plans[-1].parameters.hex(),
            {name: _text(path) for name, path in logs.items()},
        )


def _slots(plan: Plan, parts: Mapping[int, tuple[int, int]]) -> list[plain.Slot]:
    return [
        plain.Slot(slot.seed, tuple(parts[shard.number] for shard in slot.shards))
        for slot in plan.slots
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


def _text(path: Path) -> str:
    return path.read_text("utf-8", errors="replace")
