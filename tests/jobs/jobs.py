"""Small jobs for whole-job tests over real Kafka: terms, rows, a model, and what became of them."""

from __future__ import annotations

import csv
import json
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import nn

from chiron_stream import Auditor, DataOwner, InsecureSimulation, ModelProvider, QueryClient, Recipe
from chiron_stream.broker.extents import read_until
from chiron_stream.broker.kafka import KafkaBroker
from chiron_stream.broker.records import Isolation, Outgoing, Partition, Record
from chiron_stream.clients.publication import Publication
from chiron_stream.graph.numerics import configure_numerics
from chiron_stream.job.file import Job
from chiron_stream.job.terms import Terms, read_terms
from chiron_stream.local.directory import JobDirectory
from chiron_stream.recipe import Constant, Round, Slot, parameters_sha256, reference_loop
from chiron_stream.wire.receipts import Plan, PlannedSlot, Rejected
from tests.kafka.processes import eventually

SIMULATED = InsecureSimulation()
OWNERS = ("alice", "anna")
DATA_SET = "parcels"
ROWS, ROWS_PER_SHARD, BATCH = 200, 50, 16
SHARDS = ROWS // ROWS_PER_SHARD
PASSES = 2
ROUNDS = PASSES * len(OWNERS) * SHARDS // 2
OPTIMIZER = partial(torch.optim.SGD, lr=0.1, momentum=0.9)
NUMBERS = ("width", "height", "depth", "weight")
CLASSES = ("small", "large")
Table = dict[str, Any]

TERMS: Table = {
    "owners": {name: [DATA_SET] for name in OWNERS},
    "provider": "bob",
    "clients": ["carol"],
    "auditor": "dan",
    "columns": [
        *({"name": name, "kind": "number", "low": -4, "high": 4} for name in NUMBERS),
        {"name": "size", "kind": "label", "classes": list(CLASSES)},
    ],
    "schedule": {"shards_per_slot": 2, "passes": PASSES},
}


def new_name() -> str:
    """Return the name of a job that no other test has: its topics are its own."""
    return f"j{uuid.uuid4().hex[:10]}"


def terms(**parts: Any) -> Terms:
    """Return the terms of a job with two owners; ``parts`` replace its tables."""
    return read_terms({**TERMS, "name": new_name(), **parts})


def written(table: Mapping[str, Any]) -> str:
    """Return terms as the TOML that a person would write."""
    lines = [f"{key} = {_toml(table[key])}" for key in table if key not in ("columns", "schedule")]
    for column in table["columns"]:
        lines += ["[[columns]]", *(f"{key} = {_toml(value)}" for key, value in column.items())]
    lines += ["[schedule]", *(f"{key} = {value}" for key, value in table["schedule"].items())]
    return "\n".join(lines) + "\n"


def _toml(value: object) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(one)}" for key, one in value.items()) + " }"
    return json.dumps(value)


def rows(owner: str) -> Table:
    """Return an owner's rows: parcels are large when their measures add up to more than 0."""
    dice = np.random.default_rng(OWNERS.index(owner))
    values = dice.uniform(-2, 2, (ROWS, len(NUMBERS))).astype(np.float32)
    size = [CLASSES[int(total > 0)] for total in values.sum(axis=1)]
    return {**{name: values[:, n] for n, name in enumerate(NUMBERS)}, "size": size}


def row(table: Table, number: int) -> Table:
    return {name: float(table[name][number]) for name in NUMBERS}


def write_csv(path: Path, table: Mapping[str, Any]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(table)
        for cells in zip(*table.values(), strict=True):
            writer.writerow([str(cell) for cell in cells])  # str of a float32 reads back exactly
    return path


def model() -> nn.Module:
    """Return the provider's MLP, the same weights each time."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(len(NUMBERS), 8), nn.ReLU(), nn.Linear(8, 2))


def export(module: nn.Module | None = None) -> Recipe:
    return Recipe.export(
        module or model(),
        loss=nn.CrossEntropyLoss(),
        inputs={"input": list(NUMBERS)},
        target="size",
        optimizer=OPTIMIZER,
        batch_size=BATCH,
    )


class Parties:
    """The members of a job, each connected when first used; all are closed together."""

    def __init__(self, directory: JobDirectory) -> None:
        self.directory = directory
        self.job: Job = directory.job()
        self._open = ExitStack()
        self.published: dict[str, Publication] = {}

    def provider(self) -> ModelProvider:
        return self._open.enter_context(
            ModelProvider(self.job, self.directory.identity("bob"), evidence=SIMULATED)
        )

    def owner(self, name: str) -> DataOwner:
        return self._open.enter_context(
            DataOwner(self.job, self.directory.identity(name), evidence=SIMULATED)
        )

    def client(self) -> QueryClient:
        return self._open.enter_context(
            QueryClient(self.job, self.directory.identity("carol"), evidence=SIMULATED)
        )

    def publish(self, name: str) -> Publication:
        """Publish an owner's rows and wait until they are accepted."""
        made = self.owner(name).publish(rows(name), dataset=DATA_SET, rows_per_shard=ROWS_PER_SHARD)
        self._open.callback(made.close)
        self.published[name] = made
        made.wait("accepted", 60)
        return made

    def right_answers(self, count: int = 40) -> int:
        """Ask in a new session about the first rows of anna; return how many are right."""
        table = rows("anna")
        with QueryClient(self.job, self.directory.identity("carol"), evidence=SIMULATED) as client:
            futures = [client.submit(row(table, number)) for number in range(count)]
            answers = [one.result(60) for one in futures]
        assert {one.simulated for one in answers} == {True}
        return sum(one.value == size for one, size in zip(answers, table["size"], strict=False))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._open.close()


def progress(directory: JobDirectory, worker: str = "coordinator-0") -> Table:
    """Return what a worker last told of itself, or an empty table."""
    path = directory.run / f"{worker}.json"
    found: Table = json.loads(path.read_text()) if path.exists() else {}
    return found


def log(directory: JobDirectory, worker: str = "coordinator-0") -> str:
    return (directory.run / f"{worker}.log").read_text()


def reaches(
    directory: JobDirectory, state: str, worker: str = "coordinator-0", seconds: float = 60.0
) -> None:
    """Wait until a worker tells that it is in a state."""
    eventually(
        lambda: progress(directory, worker).get("state") == state, f"{worker} is {state}", seconds
    )


def place(job: Job, topic: str, partition: int = 0) -> Partition:
    return Partition(f"chiron.{job.policy.name}.{topic}", partition)


def records(job: Job, topic: str, partition: int = 0) -> list[Record]:
    """Return every committed record of a partition."""
    where = place(job, topic, partition)
    with KafkaBroker(job.bootstrap_servers) as broker:
        marks = broker.watermarks(where)
        isolation = Isolation.READ_COMMITTED
        with broker.reader({where: marks.low}, isolation=isolation) as reader:
            return list(read_until(reader, where, marks.stable))


def append(job: Job, topic: str, *values: bytes, partition: int = 0) -> list[int]:
    """Append records as whoever can reach the broker may; return their offsets."""
    where = place(job, topic, partition)
    with KafkaBroker(job.bootstrap_servers) as broker, broker.producer() as producer:
        deliveries = [producer.send(Outgoing(where, value)) for value in values]
        return [one.result().offset for one in deliveries]


def rejected(job: Job) -> list[Rejected]:
    return [Rejected.unpack(record.value) for record in records(job, "rejected")]


def plans(directory: JobDirectory) -> list[Plan]:
    """Return every round's plan, opened with the auditor's identity."""
    with Auditor(directory.job(), directory.identity("dan"), evidence=SIMULATED) as auditor:
        return auditor.plans()


def rounds(job: Job, recorded: list[Plan]) -> Iterator[Round]:
    """Yield what plain PyTorch needs: each round's rows, rebuilt from the owners' data."""
    names = {one.identity: one.name for one in job.policy.roster}
    for plan in recorded:
        yield Round([_slot(names, slot) for slot in plan.slots], BATCH)


def _slot(names: Mapping[bytes, str], slot: PlannedSlot) -> Slot:
    parts = []
    for shard in slot.shards:
        start = shard.number * ROWS_PER_SHARD
        table = rows(names[shard.owner])
        parts.append({name: one[start : start + shard.rows] for name, one in table.items()})
    inputs = np.stack([np.concatenate([part[name] for part in parts]) for name in NUMBERS], 1)
    target = np.array([CLASSES.index(one) for part in parts for one in part["size"]])
    return Slot({"input": inputs}, target, slot.seed)


def reference(job: Job, recorded: list[Plan]) -> str:
    """Return the digest of the parameters that plain PyTorch comes to over the plans."""
    configure_numerics()
    trained = reference_loop(
        model(), nn.CrossEntropyLoss(), OPTIMIZER, Constant(), rounds(job, recorded)
    )
    return parameters_sha256(trained)


def same_bits(directory: JobDirectory) -> bool:
    """Tell whether the job's parameters are those of the reference loop, bit for bit."""
    found = plans(directory)
    return found[-1].parameters.hex() == reference(directory.job(), found)


def finished_right(directory: JobDirectory, count: int = ROUNDS) -> bool:
    """Tell whether a finished job used each shard once a pass, to the reference's bits."""
    found = plans(directory)
    used = [(one.owner, one.number) for plan in found for s in plan.slots for one in s.shards]
    assert len(found) == count
    assert {used.count(one) for one in used} == {count * 2 // (len(OWNERS) * SHARDS)}
    return same_bits(directory)
