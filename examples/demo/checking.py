"""What a sceptic checks: the bits, the broker's bytes, a flipped byte, what is left running."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import psutil
from torch import nn

from chiron_stream.clients.publication import Publication
from chiron_stream.errors import TamperDetected
from chiron_stream.job.columns import pack_columns
from chiron_stream.job.schema import Schema
from chiron_stream.recipe import Round, Slot, parameters_sha256, reference_loop
from chiron_stream.wire.crypto import gcm_open
from chiron_stream.wire.receipts import Plan
from chiron_stream.wire.shards import ShardName, open_shard
from examples.demo.digits import BATCH, OPTIMIZER, SCHEDULE, model

Columns = Mapping[str, npt.NDArray[Any]]


def reference_sha256(plans: Sequence[Plan], publication: Publication, columns: Columns) -> str:
    """Train by plain PyTorch over the recorded plan; return the digest of the parameters."""
    rounds = []
    for plan in plans:
        slots = []
        for slot in plan.slots:
            parts = [publication.sent[shard.number] for shard in slot.shards]
            rows = {
                name: np.concatenate([array[one.start : one.stop] for one in parts])
                for name, array in columns.items()
            }
            slots.append(Slot({"input": rows["pixels"]}, rows["digit"], slot.seed))
        rounds.append(Round(slots, BATCH))
    trained = reference_loop(model(), nn.CrossEntropyLoss(), OPTIMIZER, SCHEDULE, rounds)
    return parameters_sha256(trained)


def hits(segments: Path, columns: Columns) -> int:
    """Count the rows whose plain bytes stand in any file of the broker."""
    return _found([path.read_bytes() for path in segments.rglob("*") if path.is_file()], columns)


def control_hits(schema: Schema, columns: Columns) -> int:
    """Count the rows that the same scan finds in the same rows packed and not sealed."""
    return _found([pack_columns(schema, columns, len(columns["digit"]))], columns)


def _found(data: Sequence[bytes], columns: Columns) -> int:
    rows = [row.tobytes() for row in columns["pixels"]]
    return sum(any(row in one for one in data) for row in rows)


def seen_by_the_broker(record: bytes) -> str:
    """Return what a reader at the broker can tell of a shard record."""
    header, sealed = record[:44], record[44:]
    return (
        f"{len(record)} bytes: magic {header[:4].decode()}, session {header[4:20].hex()}, "
        f"data set {header[20:28].hex()}, shard {int.from_bytes(header[28:36], 'big')}; "
        f"then ciphertext {sealed[:16].hex()}…"
    )


def refusals_of_a_flipped_byte(publication: Publication) -> tuple[str, str]:
    """Flip one byte of a copied record; return how the announced digest and the seal refuse it."""
    number, records = publication.sealed_again(0)
    keys, data_set = publication.keys, publication.data_set
    name = ShardName(keys.session, keys.data_set(data_set), number)
    key = keys.shard(data_set, number)
    altered = bytearray(records[0])
    altered[100] ^= 1
    flipped = [bytes(altered), *records[1:]]
    digest = publication.sent[number].digest
    return (
        _code(lambda: open_shard(key, name, digest, dict(enumerate(flipped)), len(flipped))),
        _code(lambda: gcm_open(key, 0, flipped[0][44:], flipped[0][:44])),
    )


def _code(refused: Any) -> str:
    try:
        refused()
    except TamperDetected as error:
        return error.code
    return "ACCEPTED"


def left_running(before: set[int]) -> int:
    """Count the descendants of this process that are still there and were not before."""
    return len({one.pid for one in psutil.Process().children(recursive=True)} - before)
