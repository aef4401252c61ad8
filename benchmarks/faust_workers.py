"""Whether two Faust workers lose or double messages, and how long an answer takes.

Real faust-streaming: two worker processes share four partitions of a topic, one message at a time
each, acknowledged by hand after the answer is confirmed. Questions of 2 KB come at a steady rate
through the seam. There is no baseline; what counts is that nothing is lost.
"""

from __future__ import annotations

import itertools
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from benchmarks.bench import Bench, Figure, Goal, Stage
from benchmarks.children import check_running, child
from benchmarks.faust_traffic import PARTITIONS, Traffic
from benchmarks.measuring import percentile

NAME: Final = "faust.two_workers"
APPLICATION: Final = "benchmarks.faust_app"
"""Named, not imported: it makes its application when it is imported."""

WORKERS: Final = ("1", "2")
MESSAGES: Final = 3000
MESSAGES_A_SECOND: Final = 200
READY_SECONDS: Final = 60.0
FIRST_PROBE: Final = 1_000_000
"""Probes have numbers that no message has."""

PROBE_SECONDS: Final = 0.5
QUIET_SECONDS: Final = 30.0
"""How long after the last answer the missing ones are given up."""


def benches() -> Iterator[Bench]:
    """Yield the one bench of this module."""
    about = "two Faust workers on four partitions: messages lost and doubled, latency"
    yield Bench(NAME, about, measure, ("faust-streaming", "aiokafka"))


def measure(stage: Stage) -> list[Figure]:
    """Send the messages, collect the answers, count."""
    messages = stage.amount(MESSAGES, 100)
    with (
        stage.topic(PARTITIONS) as questions,
        stage.topic(PARTITIONS) as answers,
        Traffic.through(stage.broker, questions.topic, answers.topic) as traffic,
    ):
        with _workers(stage, questions.topic, answers.topic) as check_workers:
            _await_both(traffic, check_workers)
            _exchange(traffic, messages)
        traffic.drain()
        return _figures(traffic, messages)


def _figures(traffic: Traffic, messages: int) -> list[Figure]:
    lost = sum(1 for number in range(messages) if not traffic.answers[number])
    doubled = sum(max(0, traffic.answers[number] - 1) for number in range(messages))
    waits = [traffic.waits[number] * 1e3 for number in range(messages) if number in traffic.waits]
    return [
        Figure(f"{NAME}.lost", "messages", lost, goal=Goal("==", 0, of_ratio=False)),
        Figure(f"{NAME}.doubled", "messages", doubled),
        Figure(f"{NAME}.p50", "ms", percentile(waits, 50) if waits else None),
        Figure(f"{NAME}.p99", "ms", percentile(waits, 99) if waits else None),
    ]


@contextmanager
def _workers(stage: Stage, questions: str, answers: str) -> Iterator[Callable[[], None]]:
    """Run the workers; give a function that raises if one of them has ended."""
    environment = {
        "BENCH_ENDPOINT": stage.endpoint,
        "BENCH_GROUP": f"bench-{uuid.uuid4().hex}",
        "BENCH_QUESTIONS": questions,
        "BENCH_ANSWERS": answers,
    }
    with ExitStack() as stack:
        top = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        running = [stack.enter_context(_worker(name, top, environment)) for name in WORKERS]

        def check() -> None:
            for process, log in running:
                check_running(process, log)

        yield check


@contextmanager
def _worker(
    name: str, top: Path, environment: Mapping[str, str]
) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """Run one worker with a data directory of its own; give the process and its log."""
    own = {"BENCH_WORKER": name, "BENCH_DATA": str(top / name)}
    arguments = ("worker", "--loglevel", "warn", "--without-web")
    log = top / f"{name}.log"
    with child(APPLICATION, *arguments, log=log, environment={**environment, **own}) as process:
        yield process, log


def _await_both(traffic: Traffic, check_workers: Callable[[], None]) -> None:
    """Probe all partitions until both workers answer: the group has settled by then."""
    deadline = time.monotonic() + READY_SECONDS
    for first in itertools.count(FIRST_PROBE, PARTITIONS):
        probes = range(first, first + PARTITIONS)
        for number in probes:
            traffic.ask(number)
        traffic.collect_until(time.monotonic() + PROBE_SECONDS)
        check_workers()
        named = [traffic.workers.get(number) for number in probes]
        if None not in named and len(set(named)) == len(WORKERS):
            return
        if time.monotonic() > deadline:
            raise RuntimeError(f"after {READY_SECONDS:g} s the partitions are with {named}")


def _exchange(traffic: Traffic, messages: int) -> None:
    """Send the messages at their rate; return when all are answered, or no answer comes."""
    start = time.monotonic()
    for number in range(messages):
        traffic.collect_until(start + number / MESSAGES_A_SECOND)
        traffic.ask(number)
    quiet_since = time.monotonic()
    while traffic.answered(messages) < messages:
        quiet_since = max(quiet_since, traffic.last_answer)
        if time.monotonic() - quiet_since > QUIET_SECONDS:
            return
        traffic.collect(0.5)
