"""``chiron bridge`` and ``chiron publish FILE`` against raw kafka-python over the same source.

Ours reads rows, checks them, packs, seals, sends, announces, and waits until the coordinator has
accepted; a file is read twice, for nothing is sealed before all of it was checked. The baseline
reads the same topic or file, understands no row, and sends records of the same number and sizes
(:mod:`benchmarks.raw_sender`). Both are processes of their own, in turn; medians. Their imports are
not counted. ``.peak`` is the most RSS of the process, ``.grown`` what it had less at the start.
"""

from __future__ import annotations

import csv
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, Final

import numpy as np

from benchmarks import jobs
from benchmarks.bench import Bench, Figure, Stage
from benchmarks.children import computed
from benchmarks.measuring import alternate
from chiron_stream.broker.catalogue import load_catalogue
from chiron_stream.broker.records import Outgoing, Partition
from chiron_stream.clients.publication import rows_that_fit
from chiron_stream.job.fields import packed_bytes
from chiron_stream.job.policy import Policy
from chiron_stream.local.running import RunningJob
from chiron_stream.wire.shards import ShardName, seal_shard

NAMES: Final = tuple(f"x{number}" for number in range(20))
COLUMNS: Final = (
    *({"name": name, "kind": "number", "low": -8.0, "high": 8.0} for name in NAMES),
    {"name": "y", "kind": "label", "classes": ["no", "yes"]},
)
BRIDGED: Final = 60_000
IN_SHARD: Final = 10_000
"""Rows of a bridge's shard: those of a file fill the largest class."""

PUBLISHED: Final = 200_000
TURNS: Final = 3
PARTITIONS: Final = 4
SECONDS: Final = 300.0

Row = dict[str, float | str]
Told = dict[str, float]


def benches() -> Iterator[Bench]:
    """Yield the two benches of this module."""
    about = "60,000 JSON rows of a topic through chiron bridge, against raw kafka-python"
    yield Bench("bridge", about, bridge, ("faust-streaming", "numpy", "cryptography"))
    about = "200,000 rows of CSV and of Parquet by chiron publish, against raw kafka-python"
    yield Bench("file_publishing", about, files, ("numpy", "pyarrow", "cryptography"))


@dataclass(frozen=True)
class _Side:
    """A job to publish to, and a topic for the baseline."""

    stage: Stage
    job: RunningJob
    names: Iterator[str]
    place: Partition

    def command(self, *words: str) -> Told:
        """Run a command of ``chiron`` for the next data set."""
        who = ("--dataset", next(self.names), "--job", str(self.job.directory.path))
        return _child("benchmarks.commanded", *words, *who, "--insecure-simulation")

    def raw(self, kind: str, source: str, rows: int, in_shard: int) -> Told:
        """Send as many bytes bare."""
        policy = self.job.job.policy
        counts = [min(in_shard, rows - first) for first in range(0, rows, in_shard)]
        given = {
            "kind": kind,
            "source": source,
            "endpoint": self.stage.endpoint,
            "topic": self.place.topic,
            "partitions": load_catalogue().topics["shards"].partitions,
            "rows": in_shard,
            "shards": [_sizes(policy, count) for count in counts],
        }
        return _child("benchmarks.raw_sender", given=given)


def _child(module: str, *words: str, given: object = None) -> Told:
    told: Told = computed(module, *words, given=given, seconds=SECONDS, environment=os.environ)
    return told


def _sizes(policy: Policy, rows: int) -> list[int]:
    """Return the sizes of the records of a shard of so many rows."""
    content = bytes(packed_bytes(policy.schema.fields("train"), rows))
    name = ShardName(bytes(16), bytes(8), 0)
    return [len(one) for one in seal_shard(bytes(32), name, content, policy.shard_classes)]


@contextmanager
def _side(stage: Stage, runs: int) -> Iterator[_Side]:
    names = [f"d{number}" for number in range(runs)]
    table = {**jobs.terms(data_sets=names), "columns": list(COLUMNS)}
    partitions = load_catalogue().topics["shards"].partitions
    with (
        jobs.running(stage, table, {"coordinator": 1}) as job,
        stage.topic(partitions) as place,
    ):
        yield _Side(stage, job, iter(names), place)


def _rows(count: int) -> Iterator[Row]:
    numbers = np.random.default_rng(0).standard_normal((count, len(NAMES))).clip(-8, 8).round(5)
    for row in numbers.tolist():
        yield {**dict(zip(NAMES, row, strict=True)), "y": "yes" if row[0] > 0 else "no"}


def bridge(stage: Stage) -> list[Figure]:
    """Bridge a topic that is there, to its end."""
    turns, in_shard = stage.amount(TURNS, 1), stage.amount(IN_SHARD, 500)
    rows = stage.amount(BRIDGED, 2_000)
    with _side(stage, turns + 1) as side, stage.topic(PARTITIONS) as source:
        _fill(stage, source.topic, rows)
        words = ("bridge", source.topic, "--source-servers", stage.endpoint, "--to-the-end")
        size = ("--fin", "--rows-per-shard", str(in_shard), "--max-wait", str(SECONDS))
        contenders = {
            "ours": partial(side.command, *words, *size),
            "raw": partial(side.raw, "topic", source.topic, rows, in_shard),
        }
        return _compared("bridge", rows, contenders, turns)


def _fill(stage: Stage, topic: str, rows: int) -> None:
    with stage.broker.producer() as producer:
        for number, row in enumerate(_rows(rows)):
            place = Partition(topic, number % PARTITIONS)
            producer.send(Outgoing(place, json.dumps(row).encode()))
        producer.flush()


def files(stage: Stage) -> list[Figure]:
    """Publish a file of each kind, as one data set a turn."""
    turns, rows = stage.amount(TURNS, 1), stage.amount(PUBLISHED, 5_000)
    with tempfile.TemporaryDirectory() as scratch, _side(stage, 2 * (turns + 1)) as side:
        in_shard = rows_that_fit(side.job.job.policy)
        figures = []
        for kind, path in _written(Path(scratch), rows).items():
            contenders = {
                "ours": partial(side.command, "publish", str(path)),
                "raw": partial(side.raw, kind, str(path), rows, in_shard),
            }
            figures += _compared(f"file_publishing.{kind}", rows, contenders, turns)
        return figures


def _written(folder: Path, rows: int) -> Mapping[str, Path]:
    """Write the same rows as CSV and as Parquet."""
    import pyarrow
    from pyarrow import parquet

    paths = {kind: folder / f"rows.{kind}" for kind in ("csv", "parquet")}
    table = list(_rows(rows))
    with paths["csv"].open("w", newline="") as file:
        writer = csv.DictWriter(file, table[0])
        writer.writeheader()
        writer.writerows(table)
    parquet.write_table(pyarrow.Table.from_pylist(table), paths["parquet"])
    return paths


def _compared(
    name: str, rows: int, contenders: Mapping[str, Callable[[], Told]], turns: int
) -> list[Figure]:
    told = alternate(contenders, turns)
    ours, raw = (_medians(told[one]) for one in ("ours", "raw"))
    return [
        Figure(name, "rows/s", rows / ours["seconds"], rows / raw["seconds"]),
        Figure(f"{name}.peak", "MB", ours["peak"], raw["peak"]),
        Figure(f"{name}.grown", "MB", ours["grown"], raw["grown"]),
    ]


def _medians(told: Sequence[Mapping[str, Any]]) -> Told:
    return {key: median(one[key] for one in told) for key in told[0]}
