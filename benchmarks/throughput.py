"""What the seam costs over kafka-python: the same client library, settings and records.

The baseline is a bare ``KafkaProducer`` or ``KafkaConsumer``. The seam adds to it the limit on
sizes and on bytes under way, and values of its own types; that may cost a tenth of the throughput.
Wall time is what the goal is about; the CPU rows show where a difference comes from.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Final

from benchmarks.bench import Bench, Figure, Goal, Stage
from benchmarks.clients import raw_appender, raw_reader, seam_appender, seam_reader
from benchmarks.loads import LOADS, Load
from benchmarks.measuring import Sample, alternate, median_cpu_cost, median_rate
from benchmarks.repetitions import consuming, producing

REPETITIONS: Final = 9
NINE_TENTHS: Final = Goal(">=", 0.90)


def benches() -> Iterator[Bench]:
    """Yield a bench for each direction and size."""
    for load in LOADS:
        about = f"records of {load.label}: our producer against a bare KafkaProducer"
        yield Bench(f"seam.produce.{load.label}", about, partial(produce, load))
    for load in LOADS:
        about = f"records of {load.label}: our reader against a bare KafkaConsumer"
        yield Bench(f"seam.consume.{load.label}", about, partial(consume, load))


def produce(load: Load, stage: Stage) -> list[Figure]:
    """Append through the seam and through kafka-python, alternating."""
    with producing(stage, load) as run:
        samples = alternate(
            {"seam": lambda: run(seam_appender), "raw": lambda: run(raw_appender)},
            stage.amount(REPETITIONS, 1),
        )
    return _figures(f"seam.produce.{load.label}", samples)


def consume(load: Load, stage: Stage) -> list[Figure]:
    """Read through the seam and through kafka-python, alternating."""
    with consuming(stage, load) as run:
        samples = alternate(
            {"seam": lambda: run(seam_reader), "raw": lambda: run(raw_reader)},
            stage.amount(REPETITIONS, 1),
        )
    return _figures(f"seam.consume.{load.label}", samples)


def _figures(name: str, samples: dict[str, list[Sample]]) -> list[Figure]:
    seam, raw = samples["seam"], samples["raw"]
    return [
        Figure(name, "MB/s", median_rate(seam), median_rate(raw), NINE_TENTHS),
        Figure(f"{name}.cpu", "CPU-ns/B", median_cpu_cost(seam), median_cpu_cost(raw)),
    ]
