"""Owners with a list of their own: rows that are all different, the file of them, their cut."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from torch import nn

from chiron_stream.graph.numerics import configure_numerics
from chiron_stream.job.terms import Terms
from chiron_stream.recipe import Constant, Round, Slot, parameters_sha256, reference_loop
from chiron_stream.wire.receipts import Plan
from tests.jobs import jobs
from tests.jobs.jobs import BATCH, CLASSES, DATA_SET, NUMBERS, OPTIMIZER, Table

SHARDS: Final = 100
ROWS_PER_SHARD: Final = 7
ROWS: Final = SHARDS * ROWS_PER_SHARD - 3
RECORDS_PER_SHARD: Final = 3
SHARDS_PER_SLOT: Final = 20


@dataclass(frozen=True)
class Sender:
    """An owner, its file, and ``table``: its own list of what stands in it."""

    name: str
    file: Path
    table: Table

    def rows(self, number: int) -> int:
        """Return how many rows its shard of a number has."""
        return min(ROWS, (number + 1) * ROWS_PER_SHARD) - number * ROWS_PER_SHARD


def terms(names: Sequence[str], passes: int) -> Terms:
    """Return the terms of a job of these owners, whose shards are three records each."""
    return jobs.terms(
        owners={name: [DATA_SET] for name in names},
        schedule={"shards_per_slot": SHARDS_PER_SLOT, "passes": passes},
        shard_classes=[[RECORDS_PER_SHARD, 8192]],
    )


def sender(name: str, folder: Path) -> Sender:
    """Return a sender of this name: its rows are its own, and no two are equal."""
    dice = np.random.default_rng(zlib.crc32(name.encode()))
    values = dice.uniform(-2, 2, (ROWS, len(NUMBERS))).astype(np.float32)
    assert len(np.unique(values, axis=0)) == ROWS
    size = [CLASSES[int(total > 0)] for total in values.sum(axis=1)]
    table = {**{one: values[:, n] for n, one in enumerate(NUMBERS)}, "size": size}
    return Sender(name, jobs.write_csv(folder / f"{name}.csv", table), table)


def lengths(plans: Sequence[Plan]) -> dict[tuple[bytes, int], int]:
    """Return how many rows each planned shard has, by owner and number."""
    return {
        (shard.owner, shard.number): shard.rows
        for plan in plans
        for slot in plan.slots
        for shard in slot.shards
    }


def starts(plans: Sequence[Plan]) -> dict[tuple[bytes, int], int]:
    """Return where each planned shard begins in its owner's rows: behind all earlier shards."""
    rows = lengths(plans)
    return {
        (owner, number): sum(rows[owner, before] for before in range(number))
        for owner, number in rows
    }


def rounds(senders: Mapping[bytes, Sender], plans: Sequence[Plan]) -> Iterator[Round]:
    """Yield what plain PyTorch needs: the senders' own rows, cut as the plan says.

    :param senders: by identity.
    """
    begins = starts(plans)
    for plan in plans:
        (slot,) = plan.slots
        inputs, target = [], []
        for shard in slot.shards:
            table = senders[shard.owner].table
            first = begins[shard.owner, shard.number]
            span = slice(first, first + shard.rows)
            inputs.append(np.stack([table[name][span] for name in NUMBERS], axis=1))
            target += [CLASSES.index(one) for one in table["size"][span]]
        rows = Slot({"input": np.concatenate(inputs)}, np.array(target), slot.seed)
        yield Round([rows], BATCH)


def reference(senders: Mapping[bytes, Sender], plans: Sequence[Plan]) -> str:
    """Return the digest of parameters that plain PyTorch comes to over the senders' own rows."""
    configure_numerics()
    trained = reference_loop(
        jobs.model(), nn.CrossEntropyLoss(), OPTIMIZER, Constant(), rounds(senders, plans)
    )
    return parameters_sha256(trained)
