"""Bridges that ask about the rows of a client's own topic, and a judge of what came of each row."""

from __future__ import annotations

import json
import random
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from chiron_stream import QueryClient
from chiron_stream.broker.extents import read_until
from chiron_stream.broker.records import Outgoing, Partition, Record, TopicState
from chiron_stream.local.directory import JobDirectory
from tests.faults.bridging import PARTITIONS, TOPIC, Source
from tests.faults.commands import LIMIT, Run, Runs
from tests.jobs import jobs
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


class Bridge(Run):
    """One run of the bridge, which counts the transactions that it tells of with all others."""

    def __init__(self, words: Sequence[str], log: Path, told: Told) -> None:
        self._told = told
        super().__init__(words, log)

    def take(self, kind: str, _data: dict[str, Any]) -> None:
        if kind == "bridge.answered":
            self._told.one_more()


class Answering(Runs[Bridge]):
    """Bridges of one group, over as many runs as it takes."""

    control = "tests.faults.forgetful_answers"

    def __init__(self, directory: JobDirectory, source: Visits, folder: Path) -> None:
        super().__init__(folder)
        self.directory = directory
        self.source = source
        self.told = Told()

    def start(self, state: str, *words: str, how: str = "") -> Bridge:
        """Start the command.

        :param how: of the control, instead of the command.
        """
        asked = ("bridge", TOPIC, "--answers", ANSWERS, "--json", "--insecure-simulation")
        cluster = ("--source-servers", self.source.broker.endpoint, "--under-way", "20")
        mine = ("--state", str(self.folder / state), "--job", str(self.directory.path))
        all_words = [*self.command(how), *asked, *cluster, *mine, *words]
        return self.started(Bridge(all_words, self.new_log(), self.told))

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
