"""An honest job's input topics, recorded: what every member and worker sent, in which order.

:class:`Honest` remembers each record by its sender and its number, so that a record which the
coordinator took can be held against what was sent under that number.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from chiron_stream.attestation.akd import AttestedKeyDocument, akd_hash, report_data
from chiron_stream.attestation.evidence import ROLES, EvidencePolicy, RoleMeasurements
from chiron_stream.clients.identity import Identity
from chiron_stream.job.file import Job
from chiron_stream.job.policy import Policy
from chiron_stream.simulation.authority import Authority
from chiron_stream.wire.control import Body, Fin, chain_next, chain_start
from chiron_stream.wire.crypto import SUITE
from chiron_stream.wire.session import Hello, Intent, Purpose, open_session
from chiron_stream.wire.workers import GrantRequest, Join, Ready, Report
from enclave_workers.core.boot import Boot
from enclave_workers.core.coordinator.events import Opened
from enclave_workers.core.coordinator.state import Context
from tests.unit.core import desk
from tests.unit.core.altering import Record
from tests.unit.core.shelf import job_of
from tests.unit.core.story import MANIFEST, Member, Worker, announcement, digest, source, trained
from tests.unit.job import builders
from tests.unit.job.builders import JOHN, LAB, MARY, STRANGER, WARD

AUTHORITY = Authority.generate(desk.NOW)
MEASUREMENT = digest("a core")
CLIENT = 3
"""Which of the sessions is the client's."""

ASKED = 3
"""How often a predictor asks for a client's session again: beyond the client's ceiling."""


def attested(policy: Policy) -> Policy:
    """Return a policy whose workers can be appraised."""
    evidence = EvidencePolicy(
        profile=builders.EVIDENCE.profile,
        root_digest=hashlib.sha256(AUTHORITY.root_der).digest(),
        service_key=AUTHORITY.service().public,
        measurements=tuple(RoleMeasurements(role, (MEASUREMENT,)) for role in ROLES),
        statuses=("UpToDate",),
        minimum_evaluation_number=0,
    )
    return replace(policy, evidence=evidence)


@dataclass
class Honest:
    """What honest senders sent, by sender: opens and joins, and what followed them, in order."""

    opens: dict[bytes, Opened] = field(default_factory=dict)
    controls: dict[bytes, list[bytes]] = field(default_factory=dict)
    joins: dict[bytes, bytes] = field(default_factory=dict)
    reports: dict[bytes, list[bytes]] = field(default_factory=dict)

    def chain(self, session: bytes, taken: int) -> bytes:
        """Return a session's chain behind so many of its records."""
        chain = chain_start(self.opens[session].record)
        for record in self.controls[session][:taken]:
            chain = chain_next(chain, record)
        return chain


class Attested(Worker):
    """A boot with evidence."""

    def __init__(self, context: Context, role: str) -> None:
        super().__init__(context, role)
        document = AttestedKeyDocument.unpack(self.akd)
        parts: dict[str, Any] = {"not_before": desk.NOW - 60, "not_after": desk.NOW + 3600}
        if role == "coordinator":
            parts |= {"epoch": 1, "state_version": 1, "journal_head": bytes(32)}
        self.akd = replace(document, **parts).pack()
        self.akd_hash = akd_hash(self.akd)
        self.secret = desk.secret_of(self.boot)

    def join_record(self) -> bytes:
        evidence = AUTHORITY.evidence(MEASUREMENT, report_data(self.akd), desk.NOW)
        return Join(self.akd, evidence.pack()).pack()


class Recording:
    """A job that is served record by record, and everything that its inputs held."""

    def __init__(self, policy: Policy) -> None:
        self.job: Job = job_of(attested(policy))
        self.first: Boot = desk.first_boot(self.job)
        self.honest = Honest()
        self.records: list[Record] = []
        self.elsewhere: list[Record] = []
        self.intruders: dict[str, Record] = {}
        self._desk = desk.Desk()
        with desk.without_models(self.first):
            self._clerk = desk.Clerk(self._desk, self.job)
            self._clerk.begin()
            self._live()
            self._live_elsewhere()

    def _send(self, topic: str, value: bytes) -> None:
        record = Record(topic, value)
        self.records.append(record)
        self._desk.hand(record)
        self._clerk.turn()

    def hello(self, who: Identity, purpose: Purpose) -> Hello:
        return Hello(
            suite=SUITE,
            coordinator=self.first.hash,
            identity=who.public,
            job=self.job.job_id,
            policy_version=1,
            policy_head=self.job.head,
            purpose=purpose,
            opened_at=desk.NOW,
            answer_partition=1,
        )

    def session(self, who: Identity, hello: Hello, data_set: str = "icu") -> Member:
        """Return a session that somebody wants to open."""
        secret = os.urandom(32)
        intent, key = Intent(data_set), self.first.hpke.public
        opened, keys = open_session(hello, intent, key, secret, who.sign)
        event = Opened(source("control"), opened.pack(), secret)
        return Member(event, keys, chain_start(event.record))

    def _member(
        self, who: Identity, purpose: Purpose, data_set: str, *bodies: Body
    ) -> Iterator[Record]:
        """Yield the records of an honest session, which is remembered."""
        member = self.session(who, self.hello(who, purpose), data_set)
        self.honest.opens[member.session] = member.opened
        self.honest.controls[member.session] = [member.record(body) for body in bodies]
        for value in (member.opened.record, *self.honest.controls[member.session]):
            yield Record("control", value)

    def _worker(self, role: str) -> Attested:
        worker = Attested(self._clerk.context, role)
        self.honest.joins[worker.boot] = worker.akd
        self.honest.reports[worker.boot] = []
        return worker

    def _report(self, worker: Attested, body: Report) -> bytes:
        record = worker.record(body)
        self.honest.reports[worker.boot].append(record)
        return record

    def _live(self) -> None:
        """Import a recipe, take in two owners and two clients, train to the end, grant answers."""
        parties = [
            self._member(LAB, Purpose.RECIPE, "", MANIFEST),
            self._member(MARY, Purpose.PUBLISH, "icu", shard("mary", 0), shard("mary", 1)),
            self._member(JOHN, Purpose.PUBLISH, "icu", shard("john", 0), shard("john", 1), Fin(2)),
            self._member(WARD, Purpose.QUERY, ""),
            self._member(JOHN, Purpose.LISTEN, ""),
            self._member(MARY, Purpose.PUBLISH, "icu", shard("mary", 2), Fin(3)),
        ]
        for party in parties:
            for record in party:
                self._send(*record)
        trainers = [self._worker("trainer"), self._worker("trainer")]
        predictor = self._worker("predictor")
        for worker in (*trainers, predictor):
            self._send("workers", worker.join_record())
        for worker in trainers:
            self._send("workers", self._report(worker, Ready("class-a")))
        while self._train(trainers) or self._waits():
            self._clerk.turn()
        sessions = list(self.honest.opens)
        for session in [*sessions, *[sessions[CLIENT]] * ASKED]:
            self._send("workers", self._report(predictor, GrantRequest(session)))

    def _waits(self) -> bool:
        """Tell whether an open job's shards wait for their window."""
        return bool(self._clerk.state.waiting)

    def _train(self, trainers: list[Attested]) -> bool:
        """Let every holder of a lease report; tell whether there was any."""
        current = self._clerk.state.round
        leased = [
            (worker, slot)
            for worker in trainers
            for slot in (current.slots if current is not None else ())
            if slot.boot == worker.boot and slot.result is None
        ]
        for worker, slot in leased:
            self._send("updates", self._report(worker, trained(slot)))
        return bool(leased)

    def _live_elsewhere(self) -> None:
        """Make records of this job that its topics do not hold, honest ones and others."""
        self.elsewhere += self._member(
            MARY, Purpose.PUBLISH, "icu", shard("other", 0), shard("other", 1), Fin(2)
        )
        spare = self._worker("trainer")
        self.elsewhere.append(Record("workers", spare.join_record()))
        self.elsewhere.append(Record("workers", self._report(spare, Ready("class-b"))))
        for what, who, hello in self._unwelcome():
            member = self.session(who, hello)
            self.intruders[what] = Record("control", member.opened.record)
            self.elsewhere.append(Record("control", member.record(shard("intruder", 0))))
        posing = Attested(self._clerk.context, "coordinator")
        self.intruders["a coordinator that joins"] = Record("workers", posing.join_record())
        self.elsewhere += self.intruders.values()

    def _unwelcome(self) -> Iterator[tuple[str, Identity, Hello]]:
        """Yield opens that are signed and sealed well, and not to be admitted."""
        publishes = self.hello(MARY, Purpose.PUBLISH)
        yield "a stranger", STRANGER, self.hello(STRANGER, Purpose.PUBLISH)
        yield "a client that publishes", WARD, self.hello(WARD, Purpose.PUBLISH)
        yield "another job", MARY, replace(publishes, job=digest("another job"))
        yield "another policy", MARY, replace(publishes, policy_head=digest("another policy"))
        yield "an older boot", MARY, replace(publishes, coordinator=digest("an older boot"))
        yield "no such partition", MARY, replace(publishes, answer_partition=1000)


def shard(owner: str, number: int) -> Body:
    return announcement(number, 2 + number, digest=digest((owner, number)))
