"""A job, as somebody sees it who takes part: its file, the keys, its broker, its coordinator."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from chiron_stream.broker.catalogue import load_catalogue
from chiron_stream.broker.drift import compare
from chiron_stream.broker.extents import read_until
from chiron_stream.broker.kafka import KafkaBroker
from chiron_stream.broker.records import Isolation
from chiron_stream.cli.checks.finding import Finding, State, ok, tried, warn
from chiron_stream.cli.job import verdict
from chiron_stream.clients.identity import Identity
from chiron_stream.clients.observer import Observer
from chiron_stream.errors import CatalogueRefused, JobRefused
from chiron_stream.job.file import Job
from chiron_stream.job.policy import member

BEHIND: Final = 5.0
"""Seconds that this clock may be behind a worker's before it is worth a word."""

FAR_BEHIND: Final = 60.0
"""Seconds behind from which fresh evidence may be refused as of the future."""

SILENT: Final = 15.0
"""Seconds since the newest heartbeat: workers send one a second."""

LAST: Final = 20
"""Offsets from the end at which the newest heartbeat is looked for."""

Clock = Callable[[], float]


def job_file(job: Job) -> Finding:
    """Say that a job file is good, and whether its evidence is."""
    if job.policy.is_simulated:
        return warn("job file", verdict(job), "nothing in it is confidential")
    return ok("job file", verdict(job))


def identities(job: Job, files: Sequence[Path]) -> Iterator[Finding]:
    """Yield for each identity file whether it opens, is private, and is in the roster."""
    for file in files:
        yield tried("identity", partial(_identity, job, file))


def _identity(job: Job, file: Path) -> Finding:
    identity = Identity.load(file)
    found = member(job.policy, identity.public)
    if found is None:
        raise JobRefused(
            f"{file} is not in the roster of {job.policy.name}",
            code="ROSTER",
            hint=f"send the author of the policy the line of: chiron key show {file}",
        )
    return ok("identity", f"{file} is the {found.role.name.lower()} {found.name}")


@dataclass(frozen=True)
class Cluster:
    """A job's broker, which answered.

    :param now: Unix seconds, for tests.
    """

    job: Job
    observer: Observer
    now: Clock = time.time

    def findings(self) -> Iterator[Finding]:
        """Yield what the broker shows of the job."""
        topics = tried("topics", self._topics)
        yield topics
        if topics.state is State.WARN:
            return
        yield tried("coordinator", self._coordinator)
        yield tried("clock", self._clock)

    def _topics(self) -> Finding:
        catalogue, broker = load_catalogue(), self.observer.broker
        name = self.job.policy.name
        found = compare(catalogue, name, broker.administration())
        if len([one for one in found if one.what == "topic"]) == len(catalogue.topics):
            return warn("topics", "none: the job never was up at this broker", "run: chiron up")
        if found:
            first = found[0]
            raise CatalogueRefused(
                f"{len(found)} differ, first {first.topic}: {first.what}",
                code="TOPIC_DIFFERS",
                expected=first.expected,
                got=first.got,
                hint=f"run: chiron topics plan --job {name}",
            )
        return ok("topics", f"{len(catalogue.topics)} as the catalogue says")

    def _coordinator(self) -> Finding:
        found = self.observer.activations()
        if not found:
            return warn("coordinator", "there was none yet", "run: chiron up")
        newest = max(found, key=lambda one: one.epoch)
        seen = self.observer.appraised(newest, int(self.now()))
        left = (seen.document.not_after - self.now()) / 3600
        state = "SIMULATED" if seen.simulated else seen.tcb_status
        said = f"epoch {newest.epoch}, evidence is good ({state}) for {left:.1f} more hours"
        return ok("coordinator", said)

    def _clock(self) -> Finding:
        stamp = self._newest_heartbeat()
        if stamp is None:
            return warn("clock", "no worker's heartbeat to compare with", "run: chiron status")
        ahead = self.now() - stamp
        if ahead < -FAR_BEHIND:
            said = f"{-ahead:.0f} s behind the workers': fresh evidence may be refused"
            return Finding("clock", State.FAIL, said, "set this machine's clock")
        if ahead < -BEHIND:
            return warn("clock", f"{-ahead:.0f} s behind the workers'", "set this machine's clock")
        if ahead > SILENT:
            said = f"the newest heartbeat is {ahead:.0f} s old: no worker runs, or a clock is wrong"
            return warn("clock", said, "run: chiron status")
        return ok("clock", "as the workers', within a few seconds")

    def _newest_heartbeat(self) -> float | None:
        """Return when the newest record of ``presence`` was sent, as its sender claims."""
        place, broker = self.observer.partition("presence"), self.observer.broker
        marks = broker.watermarks(place)
        start = max(marks.low, marks.high - LAST)
        isolation = Isolation.READ_UNCOMMITTED
        with broker.reader({place: start}, isolation=isolation, wait=0.01) as reader:
            stamps = [one.timestamp_ms for one in read_until(reader, place, marks.high)]
        return max(stamps) / 1000 if stamps else None


def broker_answers(broker: KafkaBroker, servers: str) -> Finding:
    """Say that a broker answers.

    :raises BrokerUnreachable: nobody does.
    :raises NotAuthorized: it does not take the credentials.
    """
    began = time.monotonic()
    cluster = broker.connect()
    said = f"{servers} answers in {1000 * (time.monotonic() - began):.0f} ms (cluster {cluster})"
    return ok("broker", said)
