"""``chiron doctor``: what keeps somebody from taking part: this machine, and a job from here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from chiron_stream.broker.kafka import KafkaBroker
from chiron_stream.cli.checks.finding import Finding, State, exit_code, failed, tried
from chiron_stream.cli.checks.machine import machine
from chiron_stream.cli.checks.taking_part import (
    Cluster,
    broker_answers,
    identities,
    job_file,
)
from chiron_stream.cli.common import Context, context, parser
from chiron_stream.cli.job import read
from chiron_stream.cli.jobs import connection
from chiron_stream.cli.main import NOUNS
from chiron_stream.clients.observer import Observer
from chiron_stream.errors import ChironError
from chiron_stream.job.file import Job


def run(arguments: Sequence[str]) -> int:
    """Print a line for each check; 0 unless one failed, else the code of the gravest failure."""
    made = parser("doctor", NOUNS["doctor"])
    made.add_argument(
        "job", nargs="?", type=Path, help="a job file or a job's directory; without, the machine"
    )
    made.add_argument(
        "--identity",
        action="append",
        default=[],
        type=Path,
        metavar="FILE",
        help="yours; by default those in the job's directory",
    )
    ready = context(made.parse_args(arguments))
    findings = []
    for one in _findings(ready):
        findings.append(one)
        fields = {"name": one.name, "state": one.state.value, "said": one.said}
        more = {name: text for name in ("hint", "code") if (text := getattr(one, name))}
        ready.output.data("check", {**fields, **more}, str(one))
    counts = Counter(one.state for one in findings)
    said = ", ".join(f"{counts[state]} {state.value}" for state in State)
    ready.output.note(f"{len(findings)} checks: {said}")
    return exit_code(findings)


def _findings(ready: Context) -> Iterator[Finding]:
    yield from machine(ready.settings.path("cache"))
    path: Path | None = ready.flags.job
    if path is not None:
        yield from _of_job(ready, path)
    elif ready.settings.found["bootstrap_servers"].origin != "default":
        yield from _of_broker(ready)


def _of_job(ready: Context, path: Path) -> Iterator[Finding]:
    try:
        job = read(path)
    except ChironError as error:
        yield failed("job file", error)
        return
    yield job_file(job)
    files: list[Path] = ready.flags.identity
    keys = sorted((path / "keys").glob("*.identity")) if path.is_dir() else []
    yield from identities(job, files or keys)
    yield from _of_cluster(job, connection(ready, job))


def _of_cluster(job: Job, options: Mapping[str, Any]) -> Iterator[Finding]:
    servers, kafka = options["bootstrap_servers"], options["kafka"]
    try:
        with KafkaBroker(servers, kafka) as broker:
            yield broker_answers(broker, servers)
            yield from Cluster(job, Observer(job, broker=broker)).findings()
    except ChironError as error:
        yield failed("broker", error)


def _of_broker(ready: Context) -> Iterator[Finding]:
    servers = ready.settings.text("bootstrap_servers")
    with KafkaBroker(servers, ready.settings.kafka) as broker:
        yield tried("broker", lambda: broker_answers(broker, servers))
