"""The coordinator's shell: reads topics, journals events, runs ``step``, commits, runs effects.

One transaction holds the journal entries of a batch and every effect of theirs on a coordinator
topic. Any error of the writer ends the process: what was going on is found again in the journal.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from typing import Final

from chiron_stream.attestation.akd import AttestedKeyDocument
from chiron_stream.attestation.appraisal import appraise
from chiron_stream.attestation.evidence import Evidence
from chiron_stream.errors import EvidenceRefused, TamperDetected
from chiron_stream.job.file import Job
from chiron_stream.wire.canonical import EncodingRefused
from chiron_stream.wire.control import ControlRecord
from chiron_stream.wire.courier import Line, Progress, Send
from chiron_stream.wire.document import kind_of
from chiron_stream.wire.journal import Activation, Sealer
from chiron_stream.wire.receipts import Rejected
from chiron_stream.wire.session import SessionOpen, admit, decapsulate, read_hello
from chiron_stream.wire.workers import Join, ReportRecord
from enclave_workers.core.boot import Boot, CoordinatorFacts
from enclave_workers.core.coordinator.announcing import read_controlled
from enclave_workers.core.coordinator.emission import emit
from enclave_workers.core.coordinator.events import (
    Acknowledging,
    Activated,
    Controlled,
    Event,
    Joined,
    Opened,
    OpenRefused,
    Reported,
    Snapshotted,
    Source,
    Welcomed,
)
from enclave_workers.core.coordinator.history import (
    SNAPSHOT_EVERY,
    replay,
    write_snapshot,
)
from enclave_workers.core.coordinator.importing import ModelEffects
from enclave_workers.core.coordinator.joining import read_reported
from enclave_workers.core.coordinator.opening import STALE, judge_open
from enclave_workers.core.coordinator.planning import waiting_for
from enclave_workers.core.coordinator.presence import Presence
from enclave_workers.core.coordinator.state import At, ImportEffect, ShardStatus
from enclave_workers.core.coordinator.step import step
from enclave_workers.core.coordinator.timers import Timers
from enclave_workers.core.link import Link
from enclave_workers.core.tee import Tee

BATCH: Final = 64
"""Events of one commit, at most."""

WAIT_MS: Final = 250
INPUTS: Final = ("control", "workers", "updates")
SNAPSHOT_MARK: Final = b"snapshot"


class Coordinator:
    """One boot of the coordinator."""

    def __init__(self, link: Link, job: Job, tee: Tee, now: int) -> None:
        self._link = link
        self._job = job
        link.start_writer()
        self._history = replay(link, job, tee)
        state = self._history.state
        self._epoch = state.epoch + 1
        facts = CoordinatorFacts(self._epoch, self._history.index, self._history.head)
        self._boot = Boot(job, "coordinator", tee, now, checkpoint=state.checkpoint, facts=facts)
        self._sealer = Sealer(
            self._history.context.key,
            self._epoch,
            os.urandom(32),
            self._history.index,
            self._history.head,
        )
        self._batch: list[Send] = []
        self._presence = Presence(job.policy.schedule.step_deadline)
        self._models = ModelEffects(link, self._history.context)
        self._timers = Timers(job.policy.schedule.max_wait)
        self._told: Progress | None = None

    def run(self) -> None:
        """Activate, then serve until the courier goes, asks for the end, or an error comes."""
        self._activate()
        self._run_open_effects()
        self._commit()
        self._tail()
        while not self._link.draining:
            self._turn()

    def _activate(self) -> None:
        """Write Genesis (once), the Activation, and Welcomes of this epoch, in one transaction."""
        history = self._history
        if history.genesis is not None:
            self._batch.append(Send("journal", 0, history.genesis, b"", b""))
        activation = Activation(
            self._epoch, history.index, history.head, self._boot.akd, self._boot.evidence
        )
        self._batch.append(Send("authority", 0, activation.pack(), b"", b""))
        self._journal(Activated(self._epoch, self._boot.hash))
        for boot, worker in list(history.state.workers.items()):
            if not worker.lost:
                self._journal(Welcomed(boot, os.urandom(32)))
        self._commit()

    def _tail(self) -> None:
        for topic in INPUTS:
            offset = self._history.state.positions.get(f"{topic}/0", 0)
            low = self._link.reach(topic).low
            self._link.tail(topic, max(offset, low), committed=False)
        self._link.tail("presence", self._link.reach("presence").high, committed=False)

    def _turn(self) -> None:
        answer = self._link.poll(BATCH, WAIT_MS)
        now = answer.now / 1000
        for line in answer.lines:
            self._take(line, now)
        for lost in list(self._presence.lost(self._history.state, now)):
            self._journal(lost)
        for due in list(self._timers.due(self._history.state, now)):
            self._journal(due)
        if any(session.acknowledge for session in self._history.state.sessions.values()):
            self._journal(Acknowledging())
        self._run_open_effects()
        self._commit()
        self._tell()

    def _take(self, line: Line, now: float) -> None:
        """Journal what a record says, or put it on ``rejected``; it never stops the others."""
        try:
            event = _READERS[line.topic](self, line, now)
        except (TamperDetected, EncodingRefused, EvidenceRefused) as error:
            self._reject(line, error.code)
            return
        if event is not None:
            self._journal(event)

    def _beat(self, line: Line, now: float) -> Event | None:
        state = self._history.state
        boot = self._presence.heard(self._history.context, state, line.value, now)
        if boot is None:
            return None
        known = state.workers[boot].secrets.get(self._epoch)
        return Welcomed(boot, known or os.urandom(32))

    def _control(self, line: Line, _now: float) -> Event | None:
        source = Source(line.topic, line.partition, line.offset)
        kind = kind_of(line.value)
        if kind == ControlRecord.KIND:
            read_controlled(self._history.state, line.value)
            return Controlled(source, line.value)
        opened = SessionOpen.unpack(line.value)
        hello = read_hello(opened)
        if opened.session in self._history.state.sessions and hello.coordinator != self._boot.hash:
            return None  # admitted by an earlier boot; its party has been answered
        code = judge_open(self._history.context, hello, self._boot.hash)
        if code == STALE:
            return OpenRefused(source, opened.session, code)
        if code is None and hello.answer_partition >= self._link.partitions("answers"):
            code = "ANSWER_PARTITION"
        if code is not None:
            raise TamperDetected("a session open that is not admitted", code=code)
        secret = decapsulate(opened, self._boot.hpke)
        admit(opened, secret)
        return Opened(source, line.value, secret)

    def _workers(self, line: Line, now: float) -> Event | None:
        source = Source(line.topic, line.partition, line.offset)
        if kind_of(line.value) == ReportRecord.KIND:
            return self._report(line, now)
        join = Join.unpack(line.value)
        role = AttestedKeyDocument.unpack(join.akd).role
        policy = self._job.policy
        appraised = appraise(
            Evidence.unpack(join.evidence),
            join.akd,
            role=role,
            policy=policy.evidence,
            job_id=self._job.job_id,
            policy_version=policy.version,
            policy_head=self._job.head,
            now=int(now),
            allow_simulation=policy.allow_simulation,
        )
        if appraised.document.role == "coordinator":
            raise TamperDetected("a coordinator that joins as a worker", code="ROLE")
        return Joined(source, join.akd, os.urandom(32))

    def _report(self, line: Line, _now: float) -> Event | None:
        if ReportRecord.unpack(line.value).epoch > self._epoch:
            return None  # for a successor, who has fenced this coordinator
        read_reported(self._history.context, self._history.state, line.value)
        return Reported(Source(line.topic, line.partition, line.offset), line.value)

    def _reject(self, line: Line, code: str) -> None:
        if code == "REPEAT":
            return  # a resend of what was taken
        record = Rejected(
            line.topic,
            line.partition,
            line.offset,
            code,
            hashlib.sha256(line.value).digest(),
            self._boot.id,
        )
        self._link.append([Send("rejected", 0, record.pack(), b"", b"")])

    def _journal(self, event: Event, mark: bytes = b"") -> None:
        """Seal an event, let ``step`` see it, and gather everything for the next commit."""
        record = self._sealer.seal(event.pack())
        self._batch.append(Send("journal", 0, record, b"", mark))
        history = self._history
        at = At(history.index, self._sealer.head)
        history.state, effects = step(history.context, history.state, event, at)
        history.index, history.head = self._sealer.index, self._sealer.head
        self._batch += emit(history.context, self._boot, self._epoch, effects)

    def _commit(self) -> None:
        if not self._batch:
            return
        batch, self._batch = self._batch, []
        self._link.commit(batch)
        self._history.genesis = None
        if self._history.index - self._history.snapshot_index > SNAPSHOT_EVERY:
            self._snapshot()

    def _snapshot(self) -> None:
        self._history.snapshot_index = self._history.index
        ref = write_snapshot(self._link, self._history)
        self._journal(Snapshotted(ref), SNAPSHOT_MARK)
        self._commit()

    def _run_open_effects(self) -> None:
        """Do what must happen outside, each with its event, until nothing is open.

        What is written here are chunks, garbage until a head in a transaction names them. So the
        event that opened an effect and the one that closes it share a commit; should it fail, the
        next boot finds neither and does it again.
        """
        while effects := self._history.state.open_effects:
            effect = effects[0]
            if isinstance(effect, ImportEffect):
                event = self._models.import_recipe(self._history.state, effect)
            else:
                event = self._models.merge(self._history.state, effect)
            self._journal(event)

    def _tell(self) -> None:
        """Hand counts to telemetry when they have changed."""
        state = self._history.state
        waiting = waiting_for(self._history.context, state)
        progress = Progress(
            state="finished" if state.finished else "waiting" if waiting else "training",
            epoch=state.epoch,
            round=state.rounds,
            version=0 if state.version is None else state.version.number,
            release=state.release,
            accepted=state.accepted,
            trained=state.count(ShardStatus.TRAINED),
            void=state.count(ShardStatus.VOID),
            parked=state.count(ShardStatus.PARKED),
            waiting=state.count(ShardStatus.ACCEPTED) - state.held,
            open_slots=sum(one.result is None for one in state.round.slots) if state.round else 0,
            trainers=len(state.live("trainer")),
            predictors=len(state.live("predictor")),
            quarantined=sum(one.quarantined for one in state.workers.values()),
            waiting_for=waiting,
        )
        if progress != self._told:
            self._told = progress
            self._link.progress(progress)


_READERS: Final[dict[str, Callable[[Coordinator, Line, float], Event | None]]] = {
    "control": Coordinator._control,
    "workers": Coordinator._workers,
    "updates": Coordinator._report,
    "presence": Coordinator._beat,
}


def run(link: Link, job: Job, tee: Tee, now: int) -> None:
    """Run a coordinator until its courier goes away."""
    Coordinator(link, job, tee, now).run()
