"""What a bench is, what it is given, and what it hands back."""

from __future__ import annotations

import operator
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from kafka import KafkaAdminClient

from benchmarks.intervals import Intervals
from chiron_stream.broker.kafka import KafkaBroker
from chiron_stream.broker.local import LocalKafka
from chiron_stream.broker.records import Partition, TopicState

_COMPARISONS: Final[Mapping[str, Callable[[float, float], bool]]] = {
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
    "==": operator.eq,
}


@dataclass(frozen=True)
class Goal:
    """A bound on a row's ratio if it has a baseline to be held to, else on its own figure.

    Every goal is asserted: a run that misses one ends with exit code 1, except with ``--quick``.
    """

    comparison: str
    bound: float
    of_ratio: bool = True
    unit: str = ""

    def __str__(self) -> str:
        bound = f"{self.bound:.2f}" if self.of_ratio else f"{self.bound:g}"
        return f"{self.comparison} {bound} {self.unit}".rstrip()

    def met_by(self, figure: Figure) -> bool:
        """Return whether the figure keeps within the bound; without a ratio it does not."""
        value = figure.ratio if self.of_ratio else figure.ours
        return value is not None and _COMPARISONS[self.comparison](value, self.bound)


@dataclass(frozen=True)
class Figure:
    """One measured figure, and the same of the baseline where there is one.

    :param intervals: how sure they are, where that was found out.
    """

    name: str
    unit: str
    ours: float | None
    baseline: float | None = None
    goal: Goal | None = None
    intervals: Intervals | None = None

    @property
    def ratio(self) -> float | None:
        """Ours over the baseline's; None without a baseline."""
        if self.ours is None or not self.baseline:
            return None
        return self.ours / self.baseline

    @property
    def met(self) -> bool | None:
        """Whether the goal is met; None without a goal."""
        return None if self.goal is None else self.goal.met_by(self)


@dataclass(frozen=True)
class Stage:
    """What every bench runs on: the one Kafka of this run, and how much to do."""

    kafka: LocalKafka
    broker: KafkaBroker
    quick: bool

    @property
    def endpoint(self) -> str:
        """The bootstrap servers."""
        return self.broker.endpoint

    def amount(self, full: int, quick: int) -> int:
        """Return how much to do: ``full``, or ``quick`` in a smoke test."""
        return quick if self.quick else full

    @contextmanager
    def topic(self, partitions: int = 1) -> Iterator[Partition]:
        """Create a topic, give its first partition, delete it: its disk space is needed."""
        name = f"bench.{uuid.uuid4().hex}"
        self.broker.administration().create(name, TopicState(partitions))
        try:
            yield Partition(name, 0)
        finally:
            admin = KafkaAdminClient(bootstrap_servers=self.endpoint)
            try:
                admin.delete_topics([name])
            finally:
                admin.close()


@dataclass(frozen=True)
class Bench:
    """A bench by name.

    :param about: one line for ``--list``.
    :param measure: does the work; its figures are named like the bench, or the name and a suffix.
    :param packages: distributions whose versions belong to the figures, beside kafka-python.
    """

    name: str
    about: str
    measure: Callable[[Stage], list[Figure]]
    packages: tuple[str, ...] = ()
