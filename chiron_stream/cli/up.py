"""``chiron up``: a job's processes, or a local Apache Kafka alone, in the foreground."""

from __future__ import annotations

import argparse
import fcntl
import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Final, NoReturn

from chiron_stream.broker.local import LocalKafka
from chiron_stream.cli.common import Context, context, parser
from chiron_stream.cli.jobs import add_simulation
from chiron_stream.cli.main import NOUNS
from chiron_stream.errors import BrokerNotStarted, ChironError, UsageRefused
from chiron_stream.events import emit
from chiron_stream.job.file import Job
from chiron_stream.local.directory import JobDirectory
from chiron_stream.local.running import RunningJob
from chiron_stream.local.services import Service
from chiron_stream.simulation.files import core_measurement

MOST_WORKERS: Final = 64
"""Of one role, on one machine."""


def run(arguments: Sequence[str]) -> int:
    """Start what was asked for, say where it is, and keep it until told to end."""
    made = parser("up", NOUNS["up"])
    made.add_argument("directory", nargs="?", type=Path, help="of a job, made by chiron init")
    made.add_argument("--broker-only", action="store_true", help="start a broker and nothing else")
    made.add_argument("--port", type=int, help="of the broker; the default is a free one")
    for role in ("trainer", "predictor"):
        made.add_argument(
            f"--{role}s", type=_count, default=1, metavar="N", help=f"how many {role}s (1)"
        )
    add_simulation(made)
    ready = context(made.parse_args(arguments))
    if ready.flags.broker_only == (ready.flags.directory is not None):
        raise UsageRefused("what shall be up?", expected="a job's directory, or --broker-only")
    signal.signal(signal.SIGTERM, _end)
    if ready.flags.broker_only:
        return _broker(ready)
    return _job(ready, JobDirectory(ready.flags.directory.resolve()))


def _count(text: str) -> int:
    count = int(text)
    if not 0 <= count <= MOST_WORKERS:
        raise argparse.ArgumentTypeError(f"0 to {MOST_WORKERS}")
    return count


def _job(ready: Context, directory: JobDirectory) -> int:
    job = directory.job()
    job.require_simulation(ready.flags.insecure_simulation)
    _refuse_other_code(job)
    found = ready.settings.found["bootstrap_servers"]
    servers = None if found.origin == "default" else str(found.value)
    failed: list[tuple[Service, int]] = []
    wake = threading.Event()

    def ended(service: Service, code: int) -> None:
        failed.append((service, code))
        wake.set()

    running = RunningJob(
        directory,
        bootstrap_servers=servers,
        kafka=ready.settings.kafka,
        heap_mb=ready.settings.number("heap_mb"),
        cache=ready.settings.path("cache"),
        workers={
            "coordinator": 1,
            "trainer": ready.flags.trainers,
            "predictor": ready.flags.predictors,
        },
        report=ready.output.note,
        ended=ended,
    )
    began = time.monotonic()
    with _only_one(directory), running:
        _announce_job(ready, running, time.monotonic() - began)
        while not wake.wait(1.0):
            pass
    service, code = failed[0]
    raise _Ended(
        f"{service.name} ended for a reason that starting again cannot mend",
        code="WORKER_ENDED",
        got=f"exit code {code}",
        hint=f"its log is {service.log}",
    )


def _refuse_other_code(job: Job) -> None:
    """See that the code that is installed is what the policy of a simulated job names.

    :raises UsageRefused: it is not: no party would talk to these workers.
    """
    if not job.policy.is_simulated:
        return
    for one in job.policy.evidence.measurements:
        found = core_measurement(one.role)
        if found not in one.measurements:
            raise UsageRefused(
                f"the job {job.policy.name} was made for another version of chiron-stream",
                code="OTHER_CODE",
                expected=f"a {one.role} that measures {one.measurements[0].hex()[:16]}…",
                got=f"{found.hex()[:16]}…",
                hint="go back to that version, or make a new job: chiron init NAME",
            )


class _Ended(ChironError):
    """A worker that cannot be started again."""


@contextmanager
def _only_one(directory: JobDirectory) -> Iterator[None]:
    """Hold the directory's lock, with our process id in it, as long as the job is up."""
    directory.run.mkdir(exist_ok=True)
    path = directory.run / "lock"
    with path.open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BrokerNotStarted(
                f"the job in {directory.path} is up already",
                code="ALREADY_RUNNING",
                hint=f"run: chiron down {directory.path}",
            ) from error
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def _announce_job(ready: Context, running: RunningJob, seconds: float) -> None:
    job = running.job
    workers = ", ".join(running.services)
    facts = {
        "job": job.policy.name,
        "bootstrap_servers": running.bootstrap_servers,
        "workers": list(running.services),
        "simulated": job.policy.is_simulated,
    }
    ready.output.data("job.up", facts, f"CHIRON_BOOTSTRAP_SERVERS={running.bootstrap_servers}")
    ready.output.note(f"SIMULATED job {job.policy.name} is up after {seconds:.1f} s: {workers}")
    ready.output.note(f"logs are in {running.directory.run}")
    ready.output.note(f"Ctrl-C stops it; from elsewhere: chiron down {running.directory.path}")


def _broker(ready: Context) -> int:
    kafka = LocalKafka(
        ready.settings.path("broker_directory"),
        port=ready.flags.port,
        heap_mb=ready.settings.number("heap_mb"),
        cache=ready.settings.path("cache"),
        report=ready.output.note,
    )
    began = time.monotonic()
    with kafka:
        _announce(ready, kafka, time.monotonic() - began)
        return _keep(ready, kafka)


def _announce(ready: Context, kafka: LocalKafka, seconds: float) -> None:
    node = kafka.nodes[0]
    servers = kafka.bootstrap_servers
    emit("broker.started", bootstrap_servers=servers, pid=node.pid, seconds=seconds)
    facts = {
        "bootstrap_servers": servers,
        "pid": node.pid,
        "port": node.address.port,
        "log": str(node.log),
    }
    ready.output.data(
        "broker.started", facts, f"CHIRON_BOOTSTRAP_SERVERS={kafka.bootstrap_servers}"
    )
    ready.output.note(f"Apache Kafka is up after {seconds:.1f} s; its log is {node.log}")
    ready.output.note("Ctrl-C stops it; from elsewhere: chiron down")


def _keep(ready: Context, kafka: LocalKafka) -> int:
    process = kafka.nodes[0].process
    code = 0 if process is None else process.wait()
    emit("broker.stopped", bootstrap_servers=kafka.bootstrap_servers)
    if code:
        raise BrokerNotStarted(
            "the local broker ended by itself",
            code="BROKER_ENDED",
            hint=f"its log is {kafka.nodes[0].log}",
        )
    ready.output.note("Apache Kafka was stopped")
    return 0


def _end(_number: int, _frame: FrameType | None) -> NoReturn:
    """End as asked: everything stops on the way out."""
    raise SystemExit(0)
