"""A job told event by event: real signed and sealed inputs, no Kafka, no sockets.

A :class:`Story` is a coordinator without its shell: it seals every event into a journal and lets
``step`` see it, as the shell does. Parties and workers are just keys and counters.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from chiron_stream.attestation.akd import AttestedKeyDocument, akd_hash
from chiron_stream.clients.identity import Identity
from chiron_stream.graph.batching import number_of_steps
from chiron_stream.job.policy import Policy, job_id, policy_head
from chiron_stream.wire.control import (
    FIRST_COUNTER,
    Announcement,
    Body,
    Fin,
    RecipeManifest,
    Use,
    chain_next,
    chain_start,
    seal_control,
)
from chiron_stream.wire.crypto import SUITE, XWingPrivateKey, seal, sign
from chiron_stream.wire.document import fixed
from chiron_stream.wire.journal import Genesis, Sealer, head_of
from chiron_stream.wire.objects import ObjectRef
from chiron_stream.wire.replies import Reply
from chiron_stream.wire.session import Hello, Intent, Purpose, SessionKeys, open_session
from chiron_stream.wire.tasks import Task
from chiron_stream.wire.workers import (
    Evaluated,
    GrantRequest,
    Leaving,
    Outcome,
    Ready,
    Report,
    ShardFault,
    SlotResult,
    seal_report,
)
from enclave_workers.core.coordinator.effects import Effect, ReplyTo, Tell
from enclave_workers.core.coordinator.events import (
    Activated,
    Controlled,
    Event,
    ImportDone,
    Joined,
    Merged,
    Opened,
    Reported,
    Source,
)
from enclave_workers.core.coordinator.joining import scope
from enclave_workers.core.coordinator.state import (
    At,
    Context,
    Evaluation,
    MergeEffect,
    Slot,
    State,
)
from enclave_workers.core.coordinator.step import step
from tests.unit.job import builders
from tests.unit.job.builders import JOHN, LAB, MARY, WARD

K = bytes([42]) * 32
SEALING = bytes([41]) * 32
"""What the TEE seals K with."""

BOOT_KEY = XWingPrivateKey(bytes([43]) * 32)
COORDINATOR = bytes([44]) * 32
"""Hash of the coordinator's attested key document."""

POLICY = builders.policy_with(
    schedule=replace(builders.SCHEDULE, slots=2, shards_per_slot=2, passes=2),
    disclosure=replace(
        builders.DISCLOSURE,
        minimum_owners=2,
        minimum_rows=10,
        answers_per_client=5,
        grant_size=2,
    ),
)

E = TypeVar("E")


def with_schedule(**parts: Any) -> Policy:
    return replace(POLICY, schedule=replace(POLICY.schedule, **parts))


def with_disclosure(**parts: Any) -> Policy:
    return replace(POLICY, disclosure=replace(POLICY.disclosure, **parts))


def digest(text: object) -> bytes:
    return hashlib.sha256(str(text).encode()).digest()


def ref(topic: str = "bulk", partition: int = 0) -> ObjectRef:
    return ObjectRef(topic, partition, 0, 0, bytes(16), 1, 10, digest(topic))


MANIFEST = RecipeManifest(ref(), ref())


def only(kind: type[E], effects: Iterable[object]) -> E:
    """Return the one effect of a kind."""
    (found,) = every(kind, effects)
    return found


def every(kind: type[E], effects: Iterable[object]) -> list[E]:
    return [one for one in effects if isinstance(one, kind)]


def replies(effects: Iterable[Effect], to: Member | None = None) -> list[Reply]:
    """Return what parties are told, or one of them."""
    told = every(ReplyTo, effects)
    return [one.body for one in told if to is None or one.session == to.session]


def tasks(effects: Iterable[Effect]) -> list[Task]:
    return [one.body for one in every(Tell, effects)]


@dataclass
class Member:
    """A party's session: its keys, and what its next control record must be."""

    opened: Opened
    keys: SessionKeys
    chain: bytes
    counter: int = FIRST_COUNTER

    @property
    def session(self) -> bytes:
        return self.keys.session

    def record(self, body: Body) -> bytes:
        """Return the next control record, and move on."""
        record = seal_control(self.keys.control, self.session, self.counter, self.chain, body)
        self.chain, self.counter = chain_next(self.chain, record), self.counter + 1
        return record

    def says(self, body: Body) -> Controlled:
        return Controlled(source("control"), self.record(body))


def source(topic: str, offset: int = 0) -> Source:
    return Source(topic, 0, offset)


def announcement(number: int, rows: int = 10, **parts: Any) -> Announcement:
    """Return the announcement of a shard."""
    made = Announcement(
        number=number,
        rows=rows,
        use=Use.TRAIN,
        records=1,
        digest=digest(number),
        partition=0,
        first=0,
        token=b"token %d" % number,
    )
    return replace(made, **parts)


class Worker:
    """A boot of a trainer or a predictor."""

    def __init__(self, context: Context, role: str) -> None:
        self._context = context
        self._key = Ed25519PrivateKey.generate()
        self.boot = os.urandom(16)
        self.secret = os.urandom(32)
        self.epoch = 1
        self.reports = 0
        document = AttestedKeyDocument(
            version=1,
            profile=context.policy.evidence.profile,
            role=role,
            job_id=context.job,
            policy_version=1,
            policy_head=context.head,
            hpke_key=BOOT_KEY.public,
            signing_key=self._key.public_key().public_bytes_raw(),
            boot=self.boot,
            not_before=0,
            not_after=1000,
            checkpoint=bytes(32),
            epoch=None,
            state_version=None,
            journal_head=None,
        )
        self.akd = document.pack()
        self.akd_hash = akd_hash(self.akd)

    def joins(self) -> Joined:
        return Joined(source("workers"), self.akd, self.secret)

    def record(self, body: Report) -> bytes:
        """Return the next report."""
        about = scope(self._context, self.epoch, self.boot)
        record = seal_report(self.secret, about, self.reports, body, self._sign)
        self.reports += 1
        return record

    def reports_that(self, body: Report) -> Reported:
        return Reported(source("updates"), self.record(body))

    def ready(self, numerics: str = "class-a") -> Reported:
        return Reported(source("workers"), self.record(Ready(numerics)))

    def leaves(self) -> Reported:
        return Reported(source("workers"), self.record(Leaving()))

    def asks(self, session: bytes) -> Reported:
        return self.reports_that(GrantRequest(session))

    def _sign(self, label: bytes, message: bytes) -> bytes:
        return sign(self._key, label, message)


BATCH = 16
"""Rows of a batch of the recipe."""


def trained(slot: Slot, **parts: Any) -> SlotResult:
    """Return the result of a slot that was trained."""
    made = SlotResult(
        task=slot.task,
        outcome=Outcome.TRAINED,
        update=ref("update-chunks"),
        digest=digest(slot.task),
        parameters=digest("parameters"),
        rows=slot.rows,
        steps=number_of_steps(slot.rows, BATCH),
        faults=(),
        numerics="class-a",
    )
    return replace(made, **parts)


def faulty(slot: Slot, outcome: Outcome, *places: int, reason: str = "REASON") -> SlotResult:
    """Return the finding that some shards of a slot cannot be used."""
    faults = tuple(ShardFault(place, reason) for place in places)
    return trained(slot, outcome=outcome, update=None, digest=bytes(32), faults=faults)


def scored(evaluation: Evaluation, value: int = 3, **parts: Any) -> Evaluated:
    """Return the result of an evaluation that was computed."""
    made = Evaluated(
        task=evaluation.task,
        outcome=Outcome.TRAINED,
        rows=evaluation.rows,
        value=fixed(value),
        faults=(),
        numerics="class-a",
    )
    return replace(made, **parts)


def unscored(evaluation: Evaluation, outcome: Outcome, *places: int) -> Evaluated:
    """Return the finding that some shards of an evaluation cannot be used."""
    faults = tuple(ShardFault(place, "REASON") for place in places)
    return scored(evaluation, 0, outcome=outcome, rows=0, faults=faults)


class Story:
    """A coordinator without its shell; its first epoch has begun."""

    def __init__(self, policy: Policy = POLICY) -> None:
        packed = policy.pack()
        self.context = Context(policy, job_id(packed), policy_head(packed), K)
        self.state = State()
        genesis = Genesis(packed, seal(SEALING, self.context.job, K)).pack()
        self.sealer = Sealer(K, 1, bytes([45]) * 32, 1, head_of(genesis))
        self.journal: list[bytes] = [genesis]
        self.events: list[Event] = []
        self.effects: list[Effect] = []
        self.tell(Activated(1, COORDINATOR))

    def tell(self, event: Event) -> list[Effect]:
        """Journal an event and let ``step`` see it."""
        index = self.sealer.index
        self.journal.append(self.sealer.seal(event.pack()))
        self.events.append(event)
        at = At(index, self.sealer.head)
        self.state, effects = step(self.context, self.state, event, at)
        self.effects += effects
        return effects

    def session(
        self, who: Identity, purpose: Purpose = Purpose.PUBLISH, data_set: str = "icu"
    ) -> Member:
        """Return a session that ``who`` wants to open."""
        hello = Hello(
            suite=SUITE,
            coordinator=COORDINATOR,
            identity=who.public,
            job=self.context.job,
            policy_version=1,
            policy_head=self.context.head,
            purpose=purpose,
            opened_at=0,
            answer_partition=1,
        )
        secret = os.urandom(32)
        opened, keys = open_session(hello, Intent(data_set), BOOT_KEY.public, secret, who.sign)
        event = Opened(source("control"), opened.pack(), secret)
        return Member(event, keys, chain_start(event.record))

    def open(
        self, who: Identity, purpose: Purpose = Purpose.PUBLISH, data_set: str = "icu"
    ) -> Member:
        """Open a session."""
        member = self.session(who, purpose, data_set)
        self.tell(member.opened)
        return member

    def publish(self, who: Identity, rows: Iterable[int], *, fin: bool = True) -> Member:
        """Open a session and announce shards of so many rows."""
        member = self.open(who)
        count = 0
        for count, size in enumerate(rows, 1):
            name = f"{who.name} {count}"
            self.tell(member.says(announcement(count - 1, size, digest=digest(name))))
        if fin:
            self.tell(member.says(Fin(count)))
        return member

    def whole(self, mary: Iterable[int] = (10, 10), john: Iterable[int] = (10,)) -> None:
        """Publish every data set that the policy lists."""
        self.publish(MARY, mary)
        self.publish(JOHN, john)

    def imported(self) -> Member:
        """Publish a recipe and import it."""
        member = self.open(LAB, Purpose.RECIPE, "")
        self.tell(member.says(MANIFEST))
        self.tell(ImportDone(BATCH, 40, ref("coordinator-chunks"), digest("weights")))
        return member

    def client(self) -> Member:
        """Open a query session."""
        return self.open(WARD, Purpose.QUERY, "")

    def join(self, role: str = "trainer") -> Worker:
        """Let a worker join."""
        worker = Worker(self.context, role)
        self.tell(worker.joins())
        if role == "trainer":
            self.tell(worker.ready())
        return worker

    @property
    def slots(self) -> tuple[Slot, ...]:
        """The slots of the round at hand."""
        return self.state.round.slots if self.state.round else ()

    def train(self, worker: Worker) -> list[Effect]:
        """Let a worker train every slot of the round at hand that is leased to it."""
        effects: list[Effect] = []
        while slots := [one for one in self.slots if one.boot == worker.boot and not one.result]:
            effects += self.tell(worker.reports_that(trained(slots[0])))
        return effects

    def hold_out(self, who: Identity, rows: Iterable[int], data_set: str = "held-out") -> Member:
        """Open a session and announce shards for evaluation."""
        member = self.open(who, data_set=data_set)
        for number, size in enumerate(rows):
            name = digest((who.name, data_set, number))
            body = announcement(number, size, digest=name, use=Use.EVALUATE)
            self.tell(member.says(body))
        return member

    def listen(self, who: Identity) -> Member:
        """Open a session that listens."""
        return self.open(who, Purpose.LISTEN, "")

    def merge(self) -> list[Effect]:
        """Let the open merge be done."""
        merge = only(MergeEffect, self.state.open_effects)
        chunks = ref("coordinator-chunks")
        made = replace(chunks, digest=digest(("version", merge.version)))
        return self.tell(Merged(merge.round, made, digest(("parameters", merge.version))))

    def finish(self, worker: Worker) -> None:
        """Train and merge until the job is finished."""
        while not self.state.finished:
            self.train(worker)
            self.merge()


def running(policy: Policy = POLICY, **shards: Iterable[int]) -> tuple[Story, Worker]:
    """Return a job whose first round is leased to a trainer."""
    story = Story(policy)
    story.imported()
    story.whole(**shards)
    return story, story.join()


def tampered(data: bytes, place: int) -> bytes:
    """Return bytes with one bit of one byte flipped."""
    changed = bytearray(data)
    changed[place % len(data)] ^= 1 << (place % 8)
    return bytes(changed)
