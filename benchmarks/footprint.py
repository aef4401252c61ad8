"""What is there before any work: resident memory of broker and client, and the broker's start."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from benchmarks import resident
from benchmarks.bench import Bench, Figure, Stage
from chiron_stream.broker.local import LocalKafka

REPETITIONS: Final = 3
CHILD_SECONDS: Final = 30.0


def benches() -> Iterator[Bench]:
    """Yield the three benches; the broker's memory comes first, while it is still at rest."""
    yield Bench("memory.jvm", "resident memory of the broker just after its start", broker_memory)
    yield Bench(
        "memory.python",
        "resident memory of a process with a broker and a reader, against an empty process",
        client_memory,
    )
    yield Bench("start.broker", "time to start a local Kafka, its jars being cached", start)


def broker_memory(stage: Stage) -> list[Figure]:
    """Read the resident memory of the JVM of this run."""
    status = Path(f"/proc/{stage.kafka.nodes[0].pid}/status").read_text()
    return [Figure("memory.jvm", "MB", resident.megabytes(status))]


def client_memory(stage: Stage) -> list[Figure]:
    """Compare fresh processes: one that holds a reader, one that holds nothing."""
    repetitions = stage.amount(REPETITIONS, 1)
    with stage.topic() as partition:
        arguments = (stage.endpoint, partition.topic)
        pairs = [(_resident(*arguments), _resident()) for _ in range(repetitions)]
    reading, empty = zip(*pairs, strict=True)
    return [Figure("memory.python", "MB", statistics.median(reading), statistics.median(empty))]


def _resident(*arguments: str) -> float:
    """Return the MB that a fresh process of :mod:`benchmarks.resident` reports of itself."""
    command = [sys.executable, "-m", resident.__name__, *arguments]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, timeout=CHILD_SECONDS, check=True
    )
    return float(done.stdout)


def start(stage: Stage) -> list[Figure]:
    """Start brokers beside the one of this run, one at a time."""
    seconds = [_start_once() for _ in range(stage.amount(REPETITIONS, 1))]
    return [Figure("start.broker", "s", statistics.median(seconds))]


def _start_once() -> float:
    begin = time.perf_counter()
    with LocalKafka():
        return time.perf_counter() - begin
