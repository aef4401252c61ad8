"""A source on a cluster of its own, bridges that are killed, and a judge of what became of rows.

A bridge says of each shard, before it sends anything of it, which records are in it. The judge
believes none of that: it puts the rows of the source together by these words, and the trained
parameters have to be plain PyTorch's over them, bit for bit.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from torch import nn

from chiron_stream import Auditor
from chiron_stream.broker.kafka import KafkaBroker
from chiron_stream.broker.records import Outgoing, Partition, TopicState
from chiron_stream.broker.seam import Closing
from chiron_stream.clients.identity import Identity
from chiron_stream.clients.receipts import read_receipts
from chiron_stream.graph.numerics import configure_numerics
from chiron_stream.local.directory import JobDirectory
from chiron_stream.recipe import Constant, Round, Slot, parameters_sha256, reference_loop
from chiron_stream.wire.receipts import Plan
from tests.crash.watching import Log
from tests.faults.commands import LIMIT, Run, Runs
from tests.jobs import jobs
from tests.jobs.jobs import BATCH, CLASSES, NUMBERS, OPTIMIZER

TOPIC: Final = "vitals"
DEAD: Final = "vitals-dead"
PARTITIONS: Final = 3
ROWS_PER_SHARD: Final = 7
POISON: Final = (b"{not json", b"[1, 2]", b"", json.dumps({"width": 99.0}).encode())

Row = dict[str, Any]
Offsets = dict[int, int]


class Source(Closing):
    """The owner's own topic, and its own list of what stands in it: rows, by their place."""

    def __init__(self, servers: str, dice: random.Random) -> None:
        self.broker = KafkaBroker(servers)
        self.broker.administration().create(TOPIC, TopicState(PARTITIONS))
        self.broker.administration().create(DEAD, TopicState(1))
        self._producer = self.broker.producer()
        self._dice = dice
        self.rows: dict[tuple[int, int], Row] = {}
        self.poison = 0

    def produce(self, count: int) -> None:
        """Append so many rows to partitions at random, and some records that are none."""
        for _ in range(count):
            if self._dice.random() < 0.05:
                self._append(self._dice.choice(POISON))
                self.poison += 1
            row = self._row()
            self.rows[self._append(json.dumps(row).encode())] = row

    def _row(self) -> Row:
        values = {name: np.float32(self._dice.uniform(-2, 2)) for name in NUMBERS}
        size = CLASSES[int(sum(values.values()) > 0)]
        return {**{name: float(one) for name, one in values.items()}, "size": size, "ward": 1}

    def _append(self, value: bytes) -> tuple[int, int]:
        number = self._dice.randrange(PARTITIONS)
        sent = self._producer.send(Outgoing(Partition(TOPIC, number), value))
        return number, sent.result().offset

    def ends(self) -> Offsets:
        return {n: self.broker.watermarks(Partition(TOPIC, n)).high for n in range(PARTITIONS)}

    def between(self, first: Offsets, last: Offsets) -> list[Row]:
        """Return the rows between two positions, in the order of partition and offset."""
        return [
            row
            for (number, offset), row in sorted(self.rows.items())
            if first[number] <= offset < last[number]
        ]

    def close(self) -> None:
        self._producer.close()
        self.broker.close()


@dataclass(frozen=True)
class Said:
    """What a bridge said of a shard before it sent it."""

    session: bytes
    number: int
    rows: int
    first: Offsets
    last: Offsets


class Bridge(Run):
    """One run of the bridge: what it has said so far."""

    def __init__(self, words: Sequence[str], log: Path) -> None:
        self.opened = 0
        self.said: list[Said] = []
        self.accepted: dict[tuple[bytes, int], bytes] = {}
        super().__init__(words, log)

    def take(self, kind: str, data: dict[str, Any]) -> None:
        if kind == "bridge.opened":
            self.opened += 1
        elif kind == "bridge.shard":
            session = bytes.fromhex(data["session"])
            span = _offsets(data["from"]), _offsets(data["to"])
            self.said.append(Said(session, data["shard"], data["rows"], *span))
        elif kind == "bridge.accepted":
            place = bytes.fromhex(data["session"]), data["shard"]
            self.accepted[place] = bytes.fromhex(data["digest"])

    def reach(self, shards: int) -> None:
        """Wait until the data set is claimed, and so many shards are about to be sent."""
        with self.changed:
            self.changed.wait_for(lambda: self._has_reached(shards) or self.silent, LIMIT)
        assert self._has_reached(shards), self.log.read_text()

    def _has_reached(self, shards: int) -> bool:
        return bool(self.opened) and len(self.said) >= shards


def _offsets(table: dict[str, int]) -> Offsets:
    return {int(number): offset for number, offset in table.items()}


class Bridging(Runs[Bridge]):
    """One data set's bridge, over as many runs as it takes."""

    control = "tests.faults.forgetful_bridge"

    def __init__(self, directory: JobDirectory, source: Source, folder: Path) -> None:
        super().__init__(folder)
        self.directory = directory
        self.source = source

    def start(self, *words: str, how: str = "") -> Bridge:
        """Start the command.

        :param how: of the control, instead of the command.
        """
        asked = ("bridge", TOPIC, "--dataset", jobs.DATA_SET, "--json", "--insecure-simulation")
        cluster = ("--source-servers", self.source.broker.endpoint, "--dead-letters", DEAD)
        size = ("--rows-per-shard", str(ROWS_PER_SHARD), "--max-wait", "0.3")
        job = ("--job", str(self.directory.path))
        all_words = [*self.command(how), *asked, *cluster, *size, *job, *words]
        return self.started(Bridge(all_words, self.new_log()))

    def finish(self, *, how: str = "") -> None:
        """Bridge everything that is left, and say that the data set is whole."""
        run = self.start("--to-the-end", "--fin", how=how)
        assert run.end() == 0, run.log.read_text()

    def said(self) -> dict[tuple[bytes, int], Said]:
        """Return what was said of shards, by session and number."""
        return {(one.session, one.number): one for run in self.runs for one in run.said}


def findings(bridging: Bridging) -> list[str]:
    """Return what is wrong with a finished job, by its receipts and the rows of the source."""
    job, directory = bridging.directory.job(), bridging.directory
    owner = Identity.load(directory.identity("alice")).public
    with (
        Log(job) as log,
        Auditor(job, directory.identity("dan"), evidence=jobs.SIMULATED) as auditor,
    ):
        log.settle()
        sealed = [
            (number, one.id, digest)
            for one in log.sessions(owner)
            for number, digest in one.digests().items()
        ]
        wanted = {
            at: (session, number, digest) for at, (number, session, digest) in enumerate(sealed)
        }
        trained = sorted(sealed[one.shard][:2] for one in read_receipts(auditor, wanted))
        plans = auditor.plans()
    said = [bridging.said()[session, number] for number, session in trained]
    digests = {(session, number): digest for number, session, digest in sealed}
    return [
        *_wrong_spans(bridging.source, said),
        *_wrong_bits(bridging.source, said, plans),
        *_wrong_acceptances(bridging.runs, digests),
    ]


def _wrong_acceptances(
    runs: Sequence[Bridge], digests: dict[tuple[bytes, int], bytes]
) -> Iterator[str]:
    """What is said to be accepted stands on the log; a run that ended itself has said all."""
    for run in runs:
        for place, digest in run.accepted.items():
            if digests.get(place) != digest:
                yield f"shard {place[1]} is said to be accepted with another digest"
    last = runs[-1]
    if missing := {(one.session, one.number) for one in last.said} - last.accepted.keys():
        yield f"{len(missing)} shards of the last run are not said to be accepted"


def _wrong_spans(source: Source, said: Sequence[Said]) -> Iterator[str]:
    """Shards follow each other without a gap, and cover the source once."""
    if [one.number for one in said] != list(range(len(said))):
        yield f"receipts of {[one.number for one in said]}"
    at = dict.fromkeys(range(PARTITIONS), 0)
    for one in said:
        if one.first != at:
            yield f"shard {one.number} begins at {one.first}, not at {at}"
        at = one.last
    if at != source.ends() and source.between(at, source.ends()):
        yield f"the last shard ends at {at}, the source at {source.ends()}"
    used = [row for one in said for row in source.between(one.first, one.last)]
    if len(used) != len(source.rows):
        yield f"{len(used)} rows of {len(source.rows)}"


def _wrong_bits(source: Source, said: Sequence[Said], plans: Sequence[Plan]) -> Iterator[str]:
    """The parameters are plain PyTorch's over the rows of the source."""
    spans = {one.number: one for one in said}
    rounds = []
    for plan in plans:
        (slot,) = plan.slots
        rows = []
        for shard in slot.shards:
            span = spans[shard.number]
            part = source.between(span.first, span.last)
            if not len(part) == span.rows == shard.rows:
                yield f"shard {shard.number}: {len(part)} rows, {span.rows} said, {shard.rows} used"
            rows += part
        inputs = np.array([[row[name] for name in NUMBERS] for row in rows], np.float32)
        target = np.array([CLASSES.index(row["size"]) for row in rows])
        rounds.append(Round([Slot({"input": inputs}, target, slot.seed)], BATCH))
    configure_numerics()
    trained = reference_loop(jobs.model(), nn.CrossEntropyLoss(), OPTIMIZER, Constant(), rounds)
    if plans[-1].parameters.hex() != parameters_sha256(trained):
        yield "the parameters are not plain PyTorch's"
