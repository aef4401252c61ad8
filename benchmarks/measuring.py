"""Clocks and statistics: samples of wall and CPU time, alternation, percentiles."""

from __future__ import annotations

import gc
import math
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

Name = TypeVar("Name")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Sample:
    """One repetition: bytes of record values moved, seconds of wall and of CPU time."""

    content: int
    wall: float
    cpu: float

    @property
    def rate(self) -> float:
        """MB of record values a second of wall time (MB of 10^6 bytes)."""
        return self.content / self.wall / 1e6

    @property
    def cpu_cost(self) -> float:
        """CPU-nanoseconds of the whole process, all its threads, for a byte of value."""
        return self.cpu / self.content * 1e9


def sample(content: int, work: Callable[[], object]) -> Sample:
    """Time ``work``, which moves ``content`` bytes of values; garbage is collected before."""
    gc.collect()
    cpu, wall = time.process_time(), time.perf_counter()
    work()
    return Sample(content, time.perf_counter() - wall, time.process_time() - cpu)


def alternate(
    contenders: Mapping[Name, Callable[[], Result]], repetitions: int
) -> dict[Name, list[Result]]:
    """Run the contenders in turn, A B A B, so that a drift of the machine meets all alike.

    The first turn warms up broker, page cache and interpreter, and is dropped.
    """
    samples: dict[Name, list[Result]] = {name: [] for name in contenders}
    for turn in range(repetitions + 1):
        for name, run in contenders.items():
            result = run()
            if turn:
                samples[name].append(result)
    return samples


def median_rate(samples: Iterable[Sample]) -> float:
    """Return the median of MB/s."""
    return statistics.median(one.rate for one in samples)


def median_cpu_cost(samples: Iterable[Sample]) -> float:
    """Return the median of CPU-nanoseconds a byte."""
    return statistics.median(one.cpu_cost for one in samples)


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the smallest value that ``percent`` of the values do not exceed (nearest rank)."""
    ranked = sorted(values)
    return ranked[max(0, math.ceil(len(ranked) * percent / 100) - 1)]


def timed_ms(work: Callable[[], object]) -> float:
    """Return the wall time of ``work`` in milliseconds."""
    start = time.perf_counter()
    work()
    return (time.perf_counter() - start) * 1e3
