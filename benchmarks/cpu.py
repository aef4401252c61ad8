"""What a byte costs in CPU time with each of three clients; the baseline is our seam.

For the choice of client library: CPU time of the whole process, every thread included, so that a
client which works in threads of its own does not look cheaper than it is. MB/s for scale.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Final

from benchmarks.bench import Bench, Figure, Stage
from benchmarks.clients import raw_appender, raw_reader, seam_appender, seam_reader
from benchmarks.loads import LOADS, Load
from benchmarks.measuring import Sample, alternate, median_cpu_cost, median_rate
from benchmarks.repetitions import consuming, producing

REPETITIONS: Final = 5
CLIENTS: Final = ("kafka-python", "aiokafka", "librdkafka")
PACKAGES: Final = ("aiokafka", "confluent-kafka")


def benches() -> Iterator[Bench]:
    """Yield a bench for each direction and size; each has rows for every client."""
    for load in LOADS:
        about = f"CPU time to produce records of {load.label}: {', '.join(CLIENTS)}"
        yield Bench(f"cpu.produce.{load.label}", about, partial(produce, load), PACKAGES)
    for load in LOADS:
        about = f"CPU time to consume records of {load.label}: {', '.join(CLIENTS)}"
        yield Bench(f"cpu.consume.{load.label}", about, partial(consume, load), PACKAGES)


def produce(load: Load, stage: Stage) -> list[Figure]:
    """Append through each client in turn."""
    from benchmarks.other_clients import aiokafka_appender, librdkafka_appender

    appenders = (seam_appender, raw_appender, aiokafka_appender, librdkafka_appender)
    with producing(stage, load) as run:
        runs = [partial(run, appender) for appender in appenders]
        return _compare(f"cpu.produce.{load.label}", runs, stage)


def consume(load: Load, stage: Stage) -> list[Figure]:
    """Read through each client in turn."""
    from benchmarks.other_clients import aiokafka_reader, librdkafka_reader

    readers = (seam_reader, raw_reader, aiokafka_reader, librdkafka_reader)
    with consuming(stage, load) as run:
        runs = [partial(run, reader) for reader in readers]
        return _compare(f"cpu.consume.{load.label}", runs, stage)


def _compare(name: str, runs: Sequence[Callable[[], Sample]], stage: Stage) -> list[Figure]:
    contenders: Mapping[str, Callable[[], Sample]] = dict(
        zip(("seam", *CLIENTS), runs, strict=True)
    )
    samples = alternate(contenders, stage.amount(REPETITIONS, 1))
    seam = samples["seam"]
    figures = []
    for client in CLIENTS:
        ours = samples[client]
        cost = median_cpu_cost(ours), median_cpu_cost(seam)
        figures.append(Figure(f"{name}.{client}", "CPU-ns/B", *cost))
        rate = median_rate(ours), median_rate(seam)
        figures.append(Figure(f"{name}.{client}.rate", "MB/s", *rate))
    return figures
