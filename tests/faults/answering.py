"""Bridges that ask about the rows of a client's own topic, and a judge of what came of each row."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from chiron_stream import QueryClient
from chiron_stream.broker.extents import read_until
from chiron_stream.broker.records import Outgoing, Partition, Record, TopicState
from chiron_stream.local.directory import JobDirectory
from tests.faults.bridging import LIMIT, PARTITIONS, TOPIC, Source
from tests.jobs import jobs
from tests.jobs.command import CHIRON, clean_environment
from tests.jobs.jobs import NUMBERS

ANSWERS: Final = "vitals-answers"
ANSWER_PARTITIONS: Final = 2
"""Fewer than the source has: two of its partitions share one."""

Place = tuple[int, int]


class Visits(Source):
    """The client's own topic, and its own list of what stands in it; each record has a key."""

    def __init__(self, servers: str, dice: random.Random) -> None:
        super().__init__(servers, dice)
        self.broker.administration().create(ANSWERS, TopicState(ANSWER_PARTITIONS))
        self.keys: dict[Place, bytes] = {}

    def _append(self, value: bytes) -> Place:
        number = self._dice.randrange(PARTITIONS)
        key = f"visit-{len(self.keys)}".encode()
        sent = self._producer.send(Outgoing(Partition(TOPIC, number), value, key))
        place = number, sent.result().offset
        self.keys[place] = key
        return place

    def answers(self) -> list[Record]:
        """Return what readers of committed records see, by partition and offset."""
        found: list[Record] = []
        for number in range(ANSWER_PARTITIONS):
            place = Partition(ANSWERS, number)
            end = self.broker.watermarks(place).stable
            with self.broker.reader({place: 0}) as reader:
                found += read_until(reader, place, end)
        return found


@dataclass
class Run:
    """One run of the command, which counts the transactions that it tells of with all others."""

    process: subprocess.Popen[str]
    log: Path
    told: Told

    def __post_init__(self) -> None:
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                if json.loads(line)["kind"] == "bridge.answered":
                    self.told.one_more()

    def kill(self) -> None:
        assert self.process.poll() is None, self.log.read_text()
        self.process.kill()
        self.process.wait()
        self._listener.join()

    def end(self) -> int:
        code = self.process.wait(LIMIT)
        self._listener.join()
        return code


class Told:
    """How many transactions all runs have told of."""

    def __init__(self) -> None:
        self.count = 0
        self._changed = threading.Condition()

    def one_more(self) -> None:
        with self._changed:
            self.count += 1
            self._changed.notify_all()

    def reach(self, count: int) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: self.count >= count, LIMIT)


class Answering:
    """Bridges of one group, over as many runs as it takes."""

    def __init__(self, directory: JobDirectory, source: Visits, folder: Path) -> None:
        self.directory = directory
        self.source = source
        self._folder = folder
        self.runs: list[Run] = []
        self.told = Told()

    def start(self, state: str, *words: str, how: str = "") -> Run:
        """Start the command.

        :param how: of ``tests.faults.forgetful_answers``, instead of the command.
        """
        module = [sys.executable, "-m", "tests.faults.forgetful_answers", how]
        command = module if how else [CHIRON]
        asked = ("bridge", TOPIC, "--answers", ANSWERS, "--json", "--insecure-simulation")
        cluster = ("--source-servers", self.source.broker.endpoint, "--under-way", "20")
        mine = ("--state", str(self._folder / state), "--job", str(self.directory.path))
        log = self._folder / f"answers-{len(self.runs)}.log"
        with log.open("w") as errors:
            process = subprocess.Popen(
                [*command, *asked, *cluster, *mine, *words],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=clean_environment(),
                text=True,
            )
        self.runs.append(Run(process, log, self.told))
        return self.runs[-1]

    def reach(self, transactions: int) -> None:
        """Wait until so many are told of, by whichever bridge."""
        reached = self.told.reach(transactions)
        assert reached, "\n".join(run.log.read_text() for run in self.runs[-2:])

    def finish(self, state: str) -> None:
        run = self.start(state, "--to-the-end")
        assert run.end() == 0, run.log.read_text()

    def queries(self) -> list[bytes]:
        """Return every query on the job's broker."""
        job = self.directory.job()
        return [one.value for n in range(4) for one in jobs.records(job, "queries", n)]

    def unwritten(self) -> int:
        """Return how many queries were sent whose answers are not in the topic."""
        written = [one for one in self.source.answers() if "value" in json.loads(one.value)]
        return len(set(self.queries())) - len(written)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        for run in self.runs:
            run.process.kill()
            run.process.wait()


def findings(answering: Answering) -> Iterator[str]:
    """Yield what is wrong: a record without its one answer, or with another one's."""
    source = answering.source
    came = [(one, json.loads(one.value)) for one in source.answers()]
    places = [(said["source"]["partition"], said["source"]["offset"]) for _, said in came]
    for place, count in Counter({**dict.fromkeys(source.keys, 0), **Counter(places)}).items():
        if count != 1:
            yield f"{count} answers to {place}"
    expected = _right(answering)
    last: dict[int, int] = {}
    for (record, said), place in zip(came, places, strict=True):
        if record.key != source.keys[place] or said["source"]["topic"] != TOPIC:
            yield f"{place} is answered under {record.key!r}"
        if said.get("value") != expected.get(place):
            yield f"{place} is answered by {said}"
        if place[1] <= last.get(place[0], -1):
            yield f"{place} is answered behind a later one"
        last[place[0]] = place[1]


def _right(answering: Answering) -> dict[Place, Any]:
    """Return the answers to all rows, asked by a client that has no state."""
    directory, rows = answering.directory, answering.source.rows
    identity = directory.identity("carol")
    with QueryClient(directory.job(), identity, evidence=jobs.SIMULATED) as client:
        futures = {
            place: client.submit({name: row[name] for name in NUMBERS})
            for place, row in rows.items()
        }
        return {place: future.result(LIMIT).value for place, future in futures.items()}
