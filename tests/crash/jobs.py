"""The job that is killed at every point: two owners, a small MLP, momentum, many passes."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from chiron_stream.graph.numerics import configure_numerics
from chiron_stream.job.policy import Policy
from chiron_stream.job.terms import Terms, read_terms
from chiron_stream.recipe import Constant, Recipe, Round, Slot, parameters_sha256, reference_loop
from chiron_stream.wire.receipts import Plan, PlannedSlot

OWNERS = ("alice", "anna")
DATA_SET = "leaves"
SHARDS, ROWS_PER_SHARD, BATCH = 4, 16, 16
ROWS = SHARDS * ROWS_PER_SHARD
SHARDS_PER_SLOT = 2
SLOTS_PER_PASS = len(OWNERS) * SHARDS // SHARDS_PER_SLOT
OPTIMIZER = partial(torch.optim.SGD, lr=0.05, momentum=0.9)
NUMBERS = ("length", "width", "stem", "veins")
CLASSES = ("beech", "elm")
CEILING, GRANT = 100_000, 5
RELEASE_EVERY = 2
Table = dict[str, Any]


def terms(passes: int, slots: int = 1) -> Terms:
    """Return the terms of a job; with the same passes and slots two jobs have the same rounds."""
    return read_terms(
        {
            "name": f"crash{uuid.uuid4().hex[:10]}",
            "owners": {name: [DATA_SET] for name in OWNERS},
            "provider": "bob",
            "clients": ["carol"],
            "auditor": "dan",
            "seed": "the same rounds every time",
            "columns": [
                *({"name": name, "kind": "number", "low": -4, "high": 4} for name in NUMBERS),
                {"name": "tree", "kind": "label", "classes": list(CLASSES)},
            ],
            "schedule": {
                "slots": slots,
                "shards_per_slot": SHARDS_PER_SLOT,
                "passes": passes,
                "release_every": RELEASE_EVERY,
            },
            "disclosure": {"answers_per_client": CEILING, "grant_size": GRANT},
        }
    )


def rows(owner: str) -> Table:
    """Return an owner's rows: a leaf is of an elm when its measures add up to more than 0."""
    dice = np.random.default_rng(OWNERS.index(owner))
    values = dice.uniform(-2, 2, (ROWS, len(NUMBERS))).astype(np.float32)
    tree = [CLASSES[int(total > 0)] for total in values.sum(axis=1)]
    return {**{name: values[:, n] for n, name in enumerate(NUMBERS)}, "tree": tree}


def questions() -> list[Table]:
    """Return the rows that a client asks about."""
    table = rows(OWNERS[-1])
    return [{name: float(table[name][n]) for name in NUMBERS} for n in range(ROWS)]


def model() -> nn.Module:
    """Return the provider's MLP, the same weights each time."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(len(NUMBERS), 8), nn.ReLU(), nn.Linear(8, 2))


def export() -> Recipe:
    return Recipe.export(
        model(),
        loss=nn.CrossEntropyLoss(),
        inputs={"input": list(NUMBERS)},
        target="tree",
        optimizer=OPTIMIZER,
        batch_size=BATCH,
    )


def rounds(policy: Policy, plans: Sequence[Plan]) -> Iterator[Round]:
    """Yield what plain PyTorch needs: each round's rows, rebuilt from the owners' data."""
    tables = {one.identity: rows(one.name) for one in policy.roster if one.name in OWNERS}
    for plan in plans:
        yield Round([_slot(tables, slot) for slot in plan.slots], BATCH)


def _slot(tables: Mapping[bytes, Table], slot: PlannedSlot) -> Slot:
    inputs, target = [], []
    for shard in slot.shards:
        table = tables[shard.owner]
        span = slice(shard.number * ROWS_PER_SHARD, shard.number * ROWS_PER_SHARD + shard.rows)
        inputs.append(np.stack([table[name][span] for name in NUMBERS], axis=1))
        target += [CLASSES.index(one) for one in table["tree"][span]]
    return Slot({"input": np.concatenate(inputs)}, np.array(target), slot.seed)


def reference(policy: Policy, plans: Sequence[Plan]) -> str:
    """Return the digest of parameters that plain PyTorch comes to over the plans."""
    configure_numerics()
    trained = reference_loop(
        model(), nn.CrossEntropyLoss(), OPTIMIZER, Constant(), rounds(policy, plans)
    )
    return parameters_sha256(trained)
