"""How a worker belongs to a job: appraises the coordinator, joins, hears what it is to do."""

from __future__ import annotations

import threading
from collections.abc import Iterator

from chiron_stream.attestation.akd import AttestedKeyDocument, akd_hash
from chiron_stream.attestation.appraisal import appraise
from chiron_stream.attestation.evidence import Evidence
from chiron_stream.errors import ChironError, EvidenceRefused, TamperDetected
from chiron_stream.job.file import Job
from chiron_stream.wire import tasks
from chiron_stream.wire.courier import Line, Send
from chiron_stream.wire.journal import Activation
from chiron_stream.wire.tasks import Task, TaskRecord, Welcome, open_task, open_welcome
from chiron_stream.wire.workers import (
    Heartbeat,
    Join,
    Leaving,
    Report,
    Scope,
    seal_presence,
    seal_report,
)
from enclave_workers.core.boot import Boot
from enclave_workers.core.link import CourierGone, Link
from enclave_workers.core.tee import Tee
from enclave_workers.core.telling import Telling

HEARTBEAT_SECONDS = 1.0
"""Between two heartbeats (``docs/operating.md``)."""

NO_TASK = bytes(32)

AHEAD = 64
"""Records of a coordinator that are kept until its activation comes, at most."""


class Membership:
    """One boot of a trainer or a predictor.

    The newest activation on ``authority`` names the coordinator; lower epochs are refused. A new
    coordinator is appraised before anything else of it is believed.
    """

    def __init__(self, link: Link, job: Job, role: str, tee: Tee, now: int) -> None:
        self._link = link
        self._job = job
        self._now = now
        self.telling = Telling(link, job.policy.schedule.step_deadline)
        self.boot = Boot(job, role, tee, now)
        self._epoch = 0
        self._coordinator: tuple[bytes, bytes] | None = None
        self._secrets: dict[int, bytes] = {}
        self._ahead: list[Line] = []
        self._reports = 0
        self._next_task = 0
        self._beats = 0
        self._beat = Heartbeat(NO_TASK, 0)
        self._reporting = threading.Lock()
        self._left = False

    def join(self) -> None:
        """Follow the coordinator's topics and publish this boot's evidence."""
        self._link.tail("authority", 0)
        self._link.tail("tasks", self._link.reach("tasks").stable)
        join = Join(self.boot.akd, self.boot.evidence).pack()
        self._link.append([Send("workers", 0, join, self.boot.id, b"")])

    def scope(self, epoch: int) -> Scope:
        """Return what messages to and from this boot are about."""
        return Scope(self._job.job_id, self._job.head, epoch, self.boot.id)

    def heard(self, line: Line, now: int) -> Iterator[Task]:
        """Take a record of ``authority`` or ``tasks``; yield the task that it brings.

        :raises EvidenceRefused: the coordinator is not one that the policy allows.
        :raises TamperDetected: a record that is not what an honest coordinator writes.
        """
        self._now = now
        if line.topic == "authority":
            self._activation(Activation.unpack(line.value))
            return
        record = tasks.read_record(line.value)
        if record.boot != self.boot.id:
            return
        if record.epoch > self._epoch:
            self._ahead = [*self._ahead, line][-AHEAD:]
        elif isinstance(record, Welcome):
            self._welcome(record)
        else:
            yield from self._task(record)

    def due(self) -> list[Line]:
        """Return the records of ``tasks`` that came ahead of an activation, to be heard again.

        A coordinator's first transaction is on both topics, and a broker may show either first.
        """
        due, self._ahead = self._ahead, []
        return due

    def _activation(self, activation: Activation) -> None:
        if activation.epoch <= self._epoch:
            raise TamperDetected(
                "an activation of an earlier epoch",
                code="EPOCH",
                expected=f"above {self._epoch}",
                got=str(activation.epoch),
            )
        self._epoch = activation.epoch
        try:
            document = self._appraised(activation)
        except EvidenceRefused:
            # Old epochs stay on the topic when their evidence has expired; the newest must pass.
            self._coordinator = None
            return
        if document.epoch != activation.epoch:
            raise TamperDetected("an activation of another epoch than its evidence", code="EPOCH")
        self._coordinator = (akd_hash(activation.akd), document.signing_key)

    def _appraised(self, activation: Activation) -> AttestedKeyDocument:
        policy = self._job.policy
        return appraise(
            Evidence.unpack(activation.evidence),
            activation.akd,
            role="coordinator",
            policy=policy.evidence,
            job_id=self._job.job_id,
            policy_version=policy.version,
            policy_head=self._job.head,
            now=self._now,
            allow_simulation=policy.allow_simulation,
        ).document

    def _welcome(self, record: Welcome) -> None:
        if record.epoch != self._epoch:
            return
        if self._coordinator is None or record.coordinator != self._coordinator[0]:
            raise TamperDetected("a Welcome of no appraised coordinator", code="COORDINATOR")
        secret = open_welcome(
            record,
            self.scope(record.epoch),
            self._coordinator[0],
            self._coordinator[1],
            self.boot.hash,
            self.boot.hpke,
        )
        self._secrets[record.epoch] = secret

    def _task(self, record: TaskRecord) -> Iterator[Task]:
        secret = self._secrets.get(record.epoch)
        if secret is None or self._coordinator is None or record.epoch != self._epoch:
            raise TamperDetected("a task of no epoch that welcomed this boot", code="EPOCH")
        if record.number < self._next_task:
            raise TamperDetected("a task that was taken before", code="REPEAT")
        task = open_task(secret, self._coordinator[1], self.scope(record.epoch), record)
        self._next_task = record.number + 1
        yield task

    @property
    def welcomed(self) -> bool:
        """Whether a coordinator has welcomed this boot."""
        return bool(self._secrets)

    def report(self, topic: str, body: Report) -> None:
        """Append a sealed, signed report and wait for its acknowledgement."""
        with self._reporting:
            epoch = max(self._secrets)
            record = seal_report(
                self._secrets[epoch], self.scope(epoch), self._reports, body, self.boot.sign
            )
            self._reports += 1
            self._link.append([Send(topic, 0, record, self.boot.id, b"")])

    def leave(self) -> None:
        """Tell the coordinator, once, that this boot was asked to end."""
        if self._secrets and not self._left:
            self._left = True
            self.report("workers", Leaving())

    def at_work(self, task: bytes, step: int) -> None:
        """Note what the next heartbeat says; the courier learns that the task moves, not how."""
        self._beat = Heartbeat(task, step)
        self.telling.move(self._beats)

    def beat(self) -> None:
        """Append one heartbeat, if a coordinator has welcomed this boot."""
        if not self._secrets or self._left:
            return
        if self._link.draining:
            self.leave()
            return
        epoch = max(self._secrets)
        record = seal_presence(self._secrets[epoch], self.scope(epoch), self._beats, self._beat)
        self._beats += 1
        self._link.append([Send("presence", 0, record, self.boot.id, b"")])

    def courier_gone(self) -> None:
        """End the core from the thread of its heartbeats."""
        self._link.gone()


class Heartbeats:
    """A thread that beats once a second until the link is gone; its error ends the core."""

    def __init__(self, membership: Membership) -> None:
        self._membership = membership
        self._stop = threading.Event()
        self.error: ChironError | None = None
        self._thread = threading.Thread(target=self._run, name="heartbeats", daemon=True)

    def start(self) -> None:
        """Begin to beat."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(HEARTBEAT_SECONDS):
            try:
                self._membership.beat()
            except CourierGone:
                self._membership.courier_gone()
                return
            except ChironError as error:
                self.error = error
                return
