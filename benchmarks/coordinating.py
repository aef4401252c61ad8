"""What a coordinator takes, as a process of its own, for 1, 8 and 32 simulated trainers.

A simulated trainer is the real core with a real courier, in a thread of the bench: it opens, trains
on two rows, seals and writes an update as large as the model. So the coordinator has all of a
round's work, and there is little else. A round has a slot for each trainer.

Names are ``coordinator.TRAINERS.MB``: trainers, and MB of parameters. CPU is core and courier
together, for each round behind the first; memory is the most RSS of each, the kernel's figure.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Final

import psutil

from benchmarks import jobs
from benchmarks.bench import Bench, Figure, Stage
from benchmarks.memory import Memory, processes
from benchmarks.simulated import simulated_trainers
from benchmarks.workloads import Workload, mlp
from chiron_stream.clients.auditor import Auditor
from chiron_stream.clients.owner import DataOwner
from chiron_stream.local.running import RunningJob

TRAINERS: Final = (1, 8, 32)
ROWS: Final = 2
ROUNDS: Final = 5
ROUND_SECONDS: Final = 120.0

WIDTHS: Final = {1: 490, 50: 3_530}
"""MB of parameters, and how wide an MLP has as many: ``width² + 25·width`` numbers of 4 bytes."""


@dataclass(frozen=True)
class Load:
    """So many trainers, and so many MB of parameters."""

    trainers: int
    megabytes: int

    @property
    def name(self) -> str:
        """Of its figures."""
        return f"coordinator.{self.trainers}.{self.megabytes}"


def benches() -> Iterator[Bench]:
    """Yield the one bench of this module."""
    about = "CPU and memory of the coordinator: 1, 8, 32 simulated trainers, models of 1 and 50 MB"
    yield Bench("coordinator", about, measure, ("torch", "numpy", "cryptography"))


def measure(stage: Stage) -> list[Figure]:
    """Run one job for each load."""
    loads = [Load(trainers, size) for size in WIDTHS for trainers in TRAINERS]
    return [one for load in loads[: stage.amount(len(loads), 1)] for one in _taken(stage, load)]


def _taken(stage: Stage, load: Load) -> list[Figure]:
    workload = mlp(20, WIDTHS[load.megabytes])
    schedule = {"slots": load.trainers, "shards_per_slot": 1, "passes": ROUNDS}
    table = jobs.terms(workload, schedule=schedule)
    with jobs.running(stage, table, {"coordinator": 1}) as job, ExitStack() as stack:
        memory = stack.enter_context(_watched(stage, job))
        stack.enter_context(simulated_trainers(job, load.trainers))
        jobs.publish_recipe(job, workload)
        auditor = stack.enter_context(
            Auditor(job.job, job.directory.identity("dan"), evidence=jobs.SIMULATED)
        )
        _publish(job, workload, load.trainers)
        _wait(auditor, 1)
        cpu, began = _cpu(job), time.perf_counter()
        _wait(auditor, ROUNDS)
        seconds, cpu = time.perf_counter() - began, _cpu(job) - cpu
    return [
        Figure(f"{load.name}.round", "s", seconds / (ROUNDS - 1)),
        Figure(f"{load.name}.cpu", "CPU-s", cpu / (ROUNDS - 1)),
        *(one for one in memory.figures(load.name) if one.name.endswith(".rss")),
    ]


@contextmanager
def _watched(stage: Stage, job: RunningJob) -> Iterator[Memory]:
    found = processes(job, stage.kafka.nodes[0].pid)
    own = {name: pid for name, pid in found.items() if name != "broker"}
    with Memory({name.removeprefix("coordinator."): pid for name, pid in own.items()}) as memory:
        yield memory


def _publish(job: RunningJob, workload: Workload, shards: int) -> None:
    with DataOwner(job.job, job.directory.identity("alice"), evidence=jobs.SIMULATED) as owner:
        data = dict(workload.rows(ROWS * shards, 0))
        owner.publish(data, dataset="d", rows_per_shard=ROWS).wait("accepted", ROUND_SECONDS)


def _wait(auditor: Auditor, rounds: int) -> None:
    deadline = time.monotonic() + ROUND_SECONDS * rounds
    while len(auditor.plans()) < rounds:
        if time.monotonic() > deadline:
            raise RuntimeError(f"{len(auditor.plans())} of {rounds} rounds in time")
        time.sleep(0.05)


def _cpu(job: RunningJob) -> float:
    """Return the CPU seconds of the coordinator's courier and its core so far."""
    courier = psutil.Process(job.services["coordinator-0"].pid)
    times = [one.cpu_times() for one in (courier, *courier.children())]
    return float(sum(one.user + one.system for one in times))
