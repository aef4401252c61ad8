"""One repetition of producing or consuming, the same for every client, with checked results."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from benchmarks.bench import Stage
from benchmarks.clients import OpenAppender, OpenReader, seam_appender
from benchmarks.loads import Load
from benchmarks.measuring import Sample, sample
from chiron_stream.broker.records import Partition


def produce_once(
    open_appender: OpenAppender, stage: Stage, partition: Partition, payload: bytes, count: int
) -> Sample:
    """Append ``count`` values and wait for all acknowledgements; check that the log grew by them.

    One record goes before, unmeasured: it fetches metadata and a producer id.
    """
    with open_appender(stage, partition) as append_all:
        append_all(payload, 1)
        before = stage.broker.watermarks(partition).high
        result = sample(count * len(payload), lambda: append_all(payload, count))
    grown = stage.broker.watermarks(partition).high - before
    if grown != count:
        raise RuntimeError(f"{grown} records arrived instead of {count}")
    return result


def consume_once(
    open_reader: OpenReader, stage: Stage, partition: Partition, size: int, count: int
) -> Sample:
    """Read ``count`` values of ``size`` bytes from the start; check that all came in full."""
    totals: list[int] = []
    with open_reader(stage, partition) as read_all:
        result = sample(count * size, lambda: totals.append(read_all(count)))
    if totals != [count * size]:
        raise RuntimeError(f"{totals} bytes were read instead of {count * size}")
    return result


@contextmanager
def producing(stage: Stage, load: Load) -> Iterator[Callable[[OpenAppender], Sample]]:
    """Give a function that lets a client produce ``load`` once, to a topic all clients share."""
    payload, count = load.payload(), load.to_produce(stage)
    with stage.topic() as partition:
        yield lambda client: produce_once(client, stage, partition, payload, count)


@contextmanager
def consuming(stage: Stage, load: Load) -> Iterator[Callable[[OpenReader], Sample]]:
    """Give a function that lets a client consume ``load`` once, from a topic all clients share."""
    count = load.to_consume(stage)
    with stage.topic() as partition:
        with seam_appender(stage, partition) as append_all:
            append_all(load.payload(), count)
        yield lambda client: consume_once(client, stage, partition, load.size, count)
