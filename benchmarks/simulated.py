"""Trainers of a job as threads of the bench: real cores and couriers, on the job's real broker."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from chiron_stream.broker.catalogue import load_catalogue
from chiron_stream.broker.kafka import KafkaBroker
from chiron_stream.local.running import RunningJob
from chiron_stream.simulation.authority import Authority
from chiron_stream.simulation.service import answer
from chiron_stream.wire.courier import Progress
from enclave_workers.courier.effects import Effects
from enclave_workers.courier.serving import Outside
from enclave_workers.local import LocalWorker


@contextmanager
def simulated_trainers(job: RunningJob, count: int) -> Iterator[None]:
    """Keep so many trainers at work for the length of a block.

    :raises ChironError: what ended one of them before its time.
    """
    made = [_trainer(job, f"trainer-{number}") for number in range(count)]
    try:
        yield
    finally:
        for worker, _broker in made:
            worker.kill()
        for worker, broker in made:
            worker.join()
            broker.close()
    for worker, _broker in made:
        if worker.error is not None:
            raise worker.error


def _trainer(job: RunningJob, name: str) -> tuple[LocalWorker, KafkaBroker]:
    catalogue = load_catalogue()
    authority = Authority.load(job.directory.quoting)
    broker = KafkaBroker(job.bootstrap_servers, limit_of=catalogue.value_limit)

    def relay(request: bytes) -> bytes:
        return answer(authority, request, int(time.time()))

    effects = Effects(broker, catalogue, job.job.policy.name)
    outside = Outside(job.directory.job_file.read_text("utf-8"), 1, relay)
    return LocalWorker(name, "trainer", effects, outside, _unheard), broker


def _unheard(_progress: Progress) -> None:
    """Leave what trainers tell alone: the coordinator is what is measured."""
