"""A source on a cluster of its own, bridges that are killed, and a judge of what became of rows.

A bridge says of each shard, before it sends anything of it, which records are in it. The judge
believes none of that: it puts the rows of the source together by these words, and the trained
parameters have to be plain PyTorch's over them, bit for bit.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

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
from tests.jobs import jobs
from tests.jobs.command import CHIRON, clean_environment
from tests.jobs.jobs import BATCH, CLASSES, NUMBERS, OPTIMIZER

TOPIC: Final = "vitals"
DEAD: Final = "vitals-dead"
PARTITIONS: Final = 3
ROWS_PER_SHARD: Final = 7
LIMIT: Final = 90.0
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


@dataclass
class Run:
    """One run of the command: what it has said so far."""

    process: subprocess.Popen[str]
    log: Path
    opened: int = 0
    said: list[Said] = field(default_factory=list)
    accepted: dict[tuple[bytes, int], bytes] = field(default_factory=dict)
    _silent: bool = False
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def __post_init__(self) -> None:
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                with self._changed:
                    self._take(json.loads(line))
                    self._changed.notify_all()
        with self._changed:
            self._silent = True
            self._changed.notify_all()

    def _take(self, envelope: dict[str, Any]) -> None:
        data = envelope["data"]
        if envelope["kind"] == "bridge.opened":
            self.opened += 1
        elif envelope["kind"] == "bridge.shard":
            session = bytes.fromhex(data["session"])
            span = _offsets(data["from"]), _offsets(data["to"])
            self.said.append(Said(session, data["shard"], data["rows"], *span))
        elif envelope["kind"] == "bridge.accepted":
            place = bytes.fromhex(data["session"]), data["shard"]
            self.accepted[place] = bytes.fromhex(data["digest"])

    def reach(self, shards: int) -> None:
        """Wait until the data set is claimed, and so many shards are about to be sent."""
        with self._changed:
            self._changed.wait_for(lambda: self._has_reached(shards) or self._silent, LIMIT)
        assert self._has_reached(shards), self.log.read_text()

    def _has_reached(self, shards: int) -> bool:
        return bool(self.opened) and len(self.said) >= shards

    def kill(self) -> None:
        assert self.process.poll() is None, self.log.read_text()
        self.process.kill()
        self.process.wait()
        self._listener.join()

    def end(self) -> int:
        code = self.process.wait(LIMIT)
        self._listener.join()
        return code


def _offsets(table: dict[str, int]) -> Offsets:
    return {int(number): offset for number, offset in table.items()}


class Bridging:
    """One data set's bridge, over as many runs as it takes."""

    def __init__(self, directory: JobDirectory, source: Source, folder: Path) -> None:
        self.directory = directory
        self.source = source
        self._folder = folder
        self.runs: list[Run] = []

    def start(self, *words: str, how: str = "") -> Run:
        """Start the command.

        :param how: of ``tests.faults.forgetful_bridge``, instead of the command.
        """
        command = [sys.executable, "-m", "tests.faults.forgetful_bridge", how] if how else [CHIRON]
        asked = ("bridge", TOPIC, "--dataset", jobs.DATA_SET, "--json", "--insecure-simulation")
        cluster = ("--source-servers", self.source.broker.endpoint, "--dead-letters", DEAD)
        size = ("--rows-per-shard", str(ROWS_PER_SHARD), "--max-wait", "0.3")
        log = self._folder / f"bridge-{len(self.runs)}.log"
        with log.open("w") as errors:
            process = subprocess.Popen(
                [*command, *asked, *cluster, *size, "--job", str(self.directory.path), *words],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=clean_environment(),
                text=True,
            )
        self.runs.append(Run(process, log))
        return self.runs[-1]

    def finish(self, *, how: str = "") -> None:
        """Bridge everything that is left, and say that the data set is whole."""
        run = self.start("--to-the-end", "--fin", how=how)
        assert run.end() == 0, run.log.read_text()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        for run in self.runs:
            run.process.kill()
            run.process.wait()

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
    runs: Sequence[Run], digests: dict[tuple[bytes, int], bytes]
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
