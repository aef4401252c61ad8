"""Small jobs for whole-job tests: their terms, their members' data, their model."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from chiron_stream.broker.extents import read_until
from chiron_stream.broker.records import Isolation, Outgoing, Partition, Record
from chiron_stream.clients.auditor import Auditor
from chiron_stream.clients.publication import Publication
from chiron_stream.graph.numerics import configure_numerics
from chiron_stream.job.simulation import InsecureSimulation
from chiron_stream.job.terms import Terms, read_terms
from chiron_stream.recipe import Constant, Recipe, Round, Slot, parameters_sha256, reference_loop
from chiron_stream.wire.receipts import Plan, PlannedSlot, Rejected
from enclave_workers.core.trainer import shell
from enclave_workers.local import LocalJob

OWNERS = ("alice", "anna")
COUNTS = {"alice": 200, "anna": 200}
"""Rows that each owner publishes, where a test names no others."""
ROWS_PER_SHARD = 50
BATCH = 16
OPTIMIZER = partial(torch.optim.SGD, lr=0.1, momentum=0.9)
COLUMNS: list[dict[str, Any]] = [
    {"name": "east", "kind": "number", "low": -4, "high": 4},
    {"name": "north", "kind": "number", "low": -4, "high": 4},
    {"name": "side", "kind": "label", "classes": ["below", "above"]},
]

ABOVE = {"east": 0.0, "north": 1.9}
BELOW = {"east": 0.0, "north": -1.9}
"""Rows that every trained model tells apart: the seeds of jobs are random, and so their edges."""

Table = dict[str, Any]


def terms(**parts: Any) -> Terms:
    """Return the terms of a job with two owners; ``parts`` replace or add to its tables."""
    table: dict[str, Any] = {
        "name": "sides",
        "owners": {name: ["points"] for name in OWNERS},
        "provider": "bob",
        "clients": ["carol", "carl"],
        "auditor": "dan",
        "columns": COLUMNS,
        "schedule": {"shards_per_slot": 2, "passes": 2},
    }
    for name, part in parts.items():
        table[name] = {**table.get(name, {}), **part} if isinstance(part, Mapping) else part
    return read_terms(table)


def points(owner: str, rows: int = 200) -> Table:
    """Return an owner's rows: points above and below a line."""
    dice = np.random.default_rng(OWNERS.index(owner))
    east, north = dice.uniform(-2, 2, (2, rows)).astype(np.float32)
    side = ["above" if up else "below" for up in north > 0.5 * east]
    return {"east": east, "north": north, "side": side}


def model() -> nn.Module:
    """Return a model with dropout and a buffer, the same weights each time."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Linear(2, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.1), nn.Linear(16, 2)
        )


def export(module: nn.Module | None = None) -> Recipe:
    return Recipe.export(
        module or model(),
        loss=nn.CrossEntropyLoss(),
        inputs={"input": ["east", "north"]},
        target="side",
        optimizer=OPTIMIZER,
        batch_size=BATCH,
    )


def publish(job: LocalJob, owner: str, rows: int = 200, **options: Any) -> Publication:
    """Publish an owner's rows, in shards of :data:`ROWS_PER_SHARD`."""
    data = points(owner, rows)
    return job.owner(owner).publish(
        data, dataset="points", rows_per_shard=ROWS_PER_SHARD, **options
    )


def publish_all(job: LocalJob, recipe: Recipe) -> list[Publication]:
    """Publish the recipe and every owner's rows."""
    job.provider().publish(recipe)
    return [publish(job, owner) for owner in OWNERS]


def train(job: LocalJob, recipe: Recipe) -> list[Publication]:
    """Publish everything and wait until the job is finished."""
    publications = publish_all(job, recipe)
    finish(job)
    return publications


def finish(job: LocalJob) -> None:
    job.wait(lambda status: status.state == "finished", timeout=60)


def place(job: LocalJob, topic: str, partition: int = 0) -> Partition:
    return Partition(f"chiron.{job.job.policy.name}.{topic}", partition)


def records(job: LocalJob, topic: str, partition: int = 0) -> list[Record]:
    """Return every committed record of a partition."""
    where = place(job, topic, partition)
    marks = job.broker.watermarks(where)
    isolation = Isolation.READ_COMMITTED
    with job.broker.reader({where: marks.low}, isolation=isolation) as reader:
        return list(read_until(reader, where, marks.stable))


def append(job: LocalJob, topic: str, value: bytes, partition: int = 0, key: bytes = b"") -> int:
    """Append a record as whoever can reach the broker may; return its offset."""
    outgoing = Outgoing(place(job, topic, partition), value, key or None)
    return job.broker.producer().send(outgoing).result().offset


def rejected(job: LocalJob) -> list[Rejected]:
    return [Rejected.unpack(record.value) for record in records(job, "rejected")]


def rejection(job: LocalJob, topic: str, offset: int, partition: int = 0) -> Rejected:
    """Wait for the rejection of one record."""
    found: list[Rejected] = []

    def there() -> bool:
        found[:] = [
            one
            for one in rejected(job)
            if (one.topic, one.partition, one.offset) == (topic, partition, offset)
        ]
        return bool(found)

    until(job, there)
    return found[0]


def until(job: LocalJob, condition: Callable[[], bool], timeout: float = 30.0) -> None:
    """Wait until something is true, looking again whenever the log grows."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"not in {timeout} s: {job.status}"
        job.broker.cluster.wait(0.05)


def plans(job: LocalJob) -> list[Plan]:
    """Return every round's plan, opened with the auditor's identity."""
    with Auditor(
        job.job,
        job.directory.identity("dan"),
        evidence=InsecureSimulation(),
        broker=job.broker,
    ) as auditor:
        return auditor.plans()


def rounds(job: LocalJob, counts: Mapping[str, int] = COUNTS) -> Iterator[Round]:
    """Yield what plain PyTorch needs: each round's rows, rebuilt from the owners' data."""
    identities = {one.name: one.identity for one in job.job.policy.roster}
    tables = {identities[name]: points(name, count) for name, count in counts.items()}
    for plan in plans(job):
        yield Round([_slot(tables, slot) for slot in plan.slots], BATCH)


def _slot(tables: Mapping[bytes, Table], slot: PlannedSlot) -> Slot:
    parts = []
    for shard in slot.shards:
        start = shard.number * ROWS_PER_SHARD
        span = slice(start, start + shard.rows)
        parts.append({name: one[span] for name, one in tables[shard.owner].items()})
    east, north = (np.concatenate([part[name] for part in parts]) for name in ("east", "north"))
    side = [int(one == "above") for part in parts for one in part["side"]]
    return Slot({"input": np.stack([east, north], axis=1)}, np.array(side), slot.seed)


def reference(job: LocalJob, counts: Mapping[str, int] = COUNTS) -> str:
    """Return the digest of parameters that plain PyTorch comes to over the auditor's plans.

    In a thread of its own: flushing denormals is a setting of a thread, and not for other tests.
    """
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(_reference, list(rounds(job, counts))).result()


def _reference(rounds: list[Round]) -> str:
    configure_numerics()
    with shell._GENERATOR:  # a trainer that stood still may go on now, in this process
        trained = reference_loop(model(), nn.CrossEntropyLoss(), OPTIMIZER, Constant(), rounds)
    return parameters_sha256(trained)


def same_bits(job: LocalJob, counts: Mapping[str, int] = COUNTS) -> bool:
    """Tell whether the job's parameters are those of the reference loop, bit for bit."""
    return plans(job)[-1].parameters.hex() == reference(job, counts)


def all_alive(job: LocalJob) -> bool:
    return all(worker.alive and worker.error is None for worker in job.workers.values())
