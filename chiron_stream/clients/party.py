"""What every party does: read the job, appraise the coordinator, open a session."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from chiron_stream import timeouts
from chiron_stream.attestation.akd import AttestedKeyDocument, akd_hash
from chiron_stream.attestation.appraisal import Appraised, appraise
from chiron_stream.attestation.evidence import COORDINATOR, Evidence
from chiron_stream.broker.catalogue import load_catalogue
from chiron_stream.broker.extents import read_until
from chiron_stream.broker.kafka import KafkaBroker
from chiron_stream.broker.records import Outgoing, Partition
from chiron_stream.broker.seam import Broker, Closing, Producer
from chiron_stream.clients.identity import Identity
from chiron_stream.clients.replies import Replies, SessionClosed
from chiron_stream.errors import JobRefused, TamperDetected, Timeout
from chiron_stream.job import file
from chiron_stream.job.file import Job
from chiron_stream.job.policy import Role, member
from chiron_stream.job.simulation import InsecureSimulation
from chiron_stream.wire.canonical import EncodingRefused
from chiron_stream.wire.crypto import SUITE
from chiron_stream.wire.journal import Activation
from chiron_stream.wire.replies import Accept, Acknowledged
from chiron_stream.wire.session import Hello, Intent, Purpose, SessionKeys, open_session


@dataclass(frozen=True)
class Coordinator:
    """An appraised coordinator: only to such a one is anything sealed."""

    hash: bytes
    document: AttestedKeyDocument
    epoch: int
    simulated: bool


@dataclass
class OpenSession:
    """An admitted session, and its first reply."""

    keys: SessionKeys
    record: bytes
    replies: Replies
    accept: Accept


class Connected(Closing):
    """A verified job and a connection to its broker.

    :param bootstrap_servers: another broker than the job file names.
    :param kafka: Kafka client properties under Kafka's own names.
    :param broker: a broker of the caller's, instead; it is not closed.
    """

    def __init__(
        self,
        job: Job,
        *,
        allow_simulation: bool,
        bootstrap_servers: str | None,
        kafka: Mapping[str, str] | None,
        broker: Broker | None,
    ) -> None:
        self.job = job
        self._allow_simulation = allow_simulation
        self._catalogue = load_catalogue()
        self._own_broker: KafkaBroker | None = None
        if broker is None:
            servers = bootstrap_servers or job.bootstrap_servers
            limit_of = self._catalogue.value_limit
            broker = self._own_broker = KafkaBroker(servers, kafka, limit_of=limit_of)
        self.broker: Broker = broker
        self._producer: Producer | None = None

    def partition(self, topic: str, number: int = 0) -> Partition:
        """Return a partition of one of the job's topics."""
        return Partition(self._catalogue.topics[topic].on_broker(self.job.policy.name), number)

    def partitions(self, topic: str) -> int:
        """Return how many partitions the catalogue gives a topic."""
        return self._catalogue.topics[topic].partitions

    def retention(self, topic: str) -> float:
        """Return how many seconds the catalogue keeps a topic's records."""
        wished = self._catalogue.topics[topic].wished()
        return int(wished.settings["retention.ms"]) / 1000

    @property
    def producer(self) -> Producer:
        """The producer, made when first used."""
        if self._producer is None:
            self._producer = self.broker.producer()
        return self._producer

    def renew_producer(self) -> None:
        """Give up the producer, and whatever it has not sent; the next use makes another."""
        old, self._producer = self._producer, None
        if old is not None:
            old.close()

    def activations(self) -> list[Activation]:
        """Return every activation on ``authority``, oldest first; nothing of them is verified.

        A record that is none is passed over: anybody with the broker may have written it.
        """
        place = self.partition("authority")
        marks = self.broker.watermarks(place)
        if marks.stable == marks.low:
            return []
        with self.broker.reader({place: marks.low}, wait=0.01) as reader:
            records = list(read_until(reader, place, marks.stable))
        found = []
        for record in records:
            with suppress(EncodingRefused):
                found.append(Activation.unpack(record.value))
        return found

    def appraised(self, activation: Activation, now: int) -> Appraised:
        """Return the appraised document of a coordinator.

        :param now: Unix seconds at which its evidence has to be good.
        :raises EvidenceRefused: with all reasons.
        """
        policy = self.job.policy
        return appraise(
            Evidence.unpack(activation.evidence),
            activation.akd,
            role=COORDINATOR,
            policy=policy.evidence,
            job_id=self.job.job_id,
            policy_version=policy.version,
            policy_head=self.job.head,
            now=now,
            allow_simulation=self._allow_simulation,
        )

    def close(self) -> None:
        """Disconnect."""
        if self._producer is not None:
            self._producer.close()
        if self._own_broker is not None:
            self._own_broker.close()


class Member(Connected):
    """A member of a job with its identity, in one role.

    :param job: a verified job, or the path of a job file.
    :param identity: the member's keys, or the path of its identity file.
    :param evidence: ``InsecureSimulation()`` to accept a SIMULATED job; nothing else does.
    :raises JobRefused: the job is simulated and the caller did not ask for that, or the identity
        is not in the roster.

    The other arguments are those of :class:`Connected`.
    """

    role: Role

    def __init__(
        self,
        job: Job | Path | str,
        identity: Identity | Path | str,
        *,
        evidence: InsecureSimulation | None = None,
        bootstrap_servers: str | None = None,
        kafka: Mapping[str, str] | None = None,
        broker: Broker | None = None,
    ) -> None:
        found = job if isinstance(job, Job) else _read_job(Path(job))
        found.require_simulation(isinstance(evidence, InsecureSimulation))
        self.identity = identity if isinstance(identity, Identity) else Identity.load(identity)
        self._check_roster(found)
        super().__init__(
            found,
            allow_simulation=evidence is not None,
            bootstrap_servers=bootstrap_servers,
            kafka=kafka,
            broker=broker,
        )

    def _check_roster(self, job: Job) -> None:
        found = member(job.policy, self.identity.public)
        wanted = self.role
        if found is None or found.role is not wanted:
            raise JobRefused(
                f"the identity {self.identity.name} is not in the roster of {job.policy.name}",
                code="ROSTER",
                expected=f"a member in the role {wanted.name.lower()}",
                got="no such identity" if found is None else found.role.name.lower(),
                hint="send the line of your public key to whoever writes the policy",
            )


def _read_job(path: Path) -> Job:
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise JobRefused(
            f"there is no job file {path} that reads",
            code="JOB_FILE",
            expected="the file that the policy's author gave you",
            got=type(error).__name__,
        ) from error
    return file.loads(text)


class Party(Member):
    """A member that opens sessions with the coordinator."""

    purpose: Purpose

    def coordinator(self, timeout: float = timeouts.COORDINATOR) -> Coordinator:
        """Return the newest coordinator, appraised; waits until there is one.

        :raises EvidenceRefused: its evidence does not satisfy the policy.
        :raises Timeout: the job has no coordinator yet.
        """
        deadline = time.monotonic() + timeout
        while not (found := self.activations()):
            if time.monotonic() > deadline:
                raise Timeout(
                    f"the job {self.job.policy.name} has no coordinator",
                    expected=f"an activation within {timeout:g} s",
                    hint="run: chiron up",
                )
            time.sleep(0.2)
        newest = max(found, key=lambda one: one.epoch)
        appraised = self.appraised(newest, int(time.time()))
        if appraised.document.epoch != newest.epoch:
            raise TamperDetected("an activation of another epoch than its evidence", code="EPOCH")
        return Coordinator(
            akd_hash(newest.akd), appraised.document, newest.epoch, appraised.simulated
        )

    def open(
        self,
        *,
        purpose: Purpose | None = None,
        data_set: str = "",
        answer_partition: int = 0,
        timeout: float = timeouts.SESSION,
    ) -> OpenSession:
        """Open a session and wait until it is admitted; a successor is looked for if need be.

        :param purpose: another than that of the role.
        :raises Timeout: no answer in time.
        :raises JobRefused: the session was refused; the code says why.
        """
        deadline = time.monotonic() + timeout
        while True:
            try:
                wanted = purpose or self.purpose
                return self._open(wanted, data_set, answer_partition, deadline)
            except SessionClosed as closed:
                if closed.code != "STALE" or time.monotonic() > deadline:
                    raise

    def _open(
        self, purpose: Purpose, data_set: str, answer_partition: int, deadline: float
    ) -> OpenSession:
        coordinator = self.coordinator(max(0.1, deadline - time.monotonic()))
        policy = self.job.policy
        hello = Hello(
            suite=SUITE,
            coordinator=coordinator.hash,
            identity=self.identity.public,
            job=self.job.job_id,
            policy_version=policy.version,
            policy_head=self.job.head,
            purpose=purpose,
            opened_at=int(time.time()),
            answer_partition=answer_partition,
        )
        key = coordinator.document.hpke_key
        opened, keys = open_session(
            hello, Intent(data_set), key, os.urandom(32), self.identity.sign
        )
        record = opened.pack()
        place = self.partition("replies")
        replies = Replies(self.broker, place, keys, self.broker.watermarks(place).stable)
        try:
            self.send("control", record, keys.session)
            accept = self._accepted(replies, deadline)
        except BaseException:
            replies.close()
            raise
        return OpenSession(keys, record, replies, accept)

    def _accepted(self, replies: Replies, deadline: float) -> Accept:
        """Return the first reply; without one, look whether the coordinator was succeeded."""
        while True:
            reply = replies.first(0.5)
            if isinstance(reply, Accept):
                return reply
            if isinstance(reply, Acknowledged):
                refusal = reply.refusals[0]
                raise JobRefused(refusal.reason, code=refusal.code)
            if time.monotonic() > deadline:
                raise Timeout(
                    "the coordinator did not answer the session",
                    expected="an answer in time",
                    hint="chiron status shows whether it is alive",
                )

    def send(self, topic: str, value: bytes, key: bytes, partition: int = 0) -> None:
        """Append a record and wait until it is acknowledged."""
        self.producer.send(Outgoing(self.partition(topic, partition), value, key)).result()
