"""Merging a round's updates against a raw KafkaConsumer that reads the same bytes.

Ours is the coordinator's own merge in a core's process, over its link to a real courier: it reads,
opens and verifies the updates, adds them in slot order, and seals and writes the version. The
baseline reads the updates in another process and does nothing with them; its allocator is set like
that of a core. Only the updates' bytes count: writing the version, as large as one of them, is for
ours to make up.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from statistics import median
from typing import Any, Final

from benchmarks import jobs
from benchmarks.bench import Bench, Figure, Goal, Stage
from benchmarks.children import computed
from benchmarks.measuring import Sample, alternate, median_cpu_cost, median_rate
from chiron_stream.broker.records import Outgoing, Partition
from chiron_stream.broker.seam import Producer, Reader

SLOTS: Final = (4, 8)
WIDTH: Final = 2400
TURNS: Final = 5
GOAL: Final = Goal(">=", 0.70)
COURIER: Final = ("-m", "benchmarks.merge_courier")
ANSWER_SECONDS: Final = 120.0

Answer = dict[str, Any]


def benches() -> Iterator[Bench]:
    """Yield the one bench of this module."""
    about = "4 and 8 updates of 46 MB: read, verified, merged, written; against reading the bytes"
    yield Bench("merge", about, measure, ("numpy", "cryptography"))


def measure(stage: Stage) -> list[Figure]:
    """Merge rounds of so many slots, and read their updates bare, in turn."""
    with (
        jobs.running(stage, jobs.terms(), {"coordinator": 1}, COURIER) as job,
        _asking(stage, job.job.policy.name) as core,
    ):
        core.ask({"width": stage.amount(WIDTH, 300), "slots": max(SLOTS)})
        return [one for slots in SLOTS for one in _compare(stage, core, slots)]


def _compare(stage: Stage, core: _Core, slots: int) -> Iterator[Figure]:
    answers: list[Answer] = []
    extent = core.ask({"slots": slots})
    samples = alternate(
        {
            "ours": partial(_ours, core, slots, answers),
            "bare": partial(_bare, stage.endpoint, core.chunks, extent),
        },
        stage.amount(TURNS, 1),
    )
    ours, bare = samples["ours"], samples["bare"]
    courier = median(one["courier"] / one["size"] * 1e9 for one in answers[1:])
    name = f"merge.{slots}"
    yield Figure(name, "MB/s", median_rate(ours), median_rate(bare), GOAL)
    yield Figure(f"{name}.cpu.core", "CPU-ns/B", median_cpu_cost(ours), median_cpu_cost(bare))
    yield Figure(f"{name}.cpu.courier", "CPU-ns/B", courier, median_cpu_cost(bare))


class _Core:
    """The core of the bench: orders go to ``tasks``, its answers come on ``updates``."""

    def __init__(self, producer: Producer, reader: Reader, name: str) -> None:
        self._producer = producer
        self._reader = reader
        self._tasks = Partition(f"chiron.{name}.tasks", 0)
        self.chunks = f"chiron.{name}.update-chunks"

    def ask(self, order: Mapping[str, int]) -> Answer:
        self._producer.send(Outgoing(self._tasks, json.dumps(order).encode())).result()
        deadline = time.monotonic() + ANSWER_SECONDS
        while time.monotonic() < deadline:
            for record in self._reader.poll(0.5):
                answer: Answer = json.loads(record.value)
                return answer
        raise RuntimeError(f"the core does not answer within {ANSWER_SECONDS:g} s")


@contextmanager
def _asking(stage: Stage, name: str) -> Iterator[_Core]:
    answers = Partition(f"chiron.{name}.updates", 0)
    with stage.broker.producer() as producer, stage.broker.reader({answers: 0}) as reader:
        yield _Core(producer, reader, name)


def _ours(core: _Core, slots: int, answers: list[Answer]) -> Sample:
    answer = core.ask({"slots": slots})
    answers.append(answer)
    return Sample(answer["size"], answer["seconds"], answer["cpu"])


def _bare(endpoint: str, topic: str, extent: Answer) -> Sample:
    given = {"endpoint": endpoint, "topic": topic, "extents": extent["extents"]}
    found = computed("benchmarks.merge_reader", given=given, seconds=ANSWER_SECONDS)
    if found["size"] < extent["size"]:
        raise RuntimeError(f"{found['size']} bytes were read instead of {extent['size']}")
    return Sample(extent["size"], found["wall"], found["cpu"])
