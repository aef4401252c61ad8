"""The policy of a job: everything that its parties agree on, in one signed document.

Its canonical bytes name the job: ``job_id`` is a hash of the genesis policy's bytes, so that
whoever knows the id knows the terms. :func:`read_policy` is the way in for untrusted bytes;
``Policy.unpack`` alone checks the encoding, and ``Policy.check`` alone the meaning.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, ClassVar, Final

from chiron_stream.attestation.evidence import ROLES, SIMULATED, EvidencePolicy, policy_defects
from chiron_stream.errors import JobRefused
from chiron_stream.job.disclosure import Disclosure, Form
from chiron_stream.job.fields import packed_bytes
from chiron_stream.job.refusal import expect, expect_between
from chiron_stream.job.roster import SIGNERS, Member, Role, check_roster, is_hpke_key
from chiron_stream.job.schedule import DataSet, Kind, Schedule
from chiron_stream.job.schema import LabelColumn, Schema
from chiron_stream.wire import labels
from chiron_stream.wire.crypto import sha256
from chiron_stream.wire.document import Digest, Document, Limit

__all__ = [
    "DataSet",
    "Disclosure",
    "Form",
    "Kind",
    "Member",
    "Policy",
    "RecipeLimits",
    "Role",
    "Schedule",
    "ShardClass",
    "job_id",
    "member",
    "policy_head",
    "read_policy",
]

VERSION: Final = 1
GENESIS: Final = bytes(32)
"""``previous`` of a job's first policy, the only one there is until there are amendments."""

JOB_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
MAX_POLICY_BYTES: Final = 192 * 1024
"""A policy stands in the journal's first record, which is at most 256 KiB."""

MAX_RECORDS: Final = 4096
MIN_RECORD_BYTES: Final = 256
MAX_RECORD_BYTES: Final = 999_000
"""Bytes of one sealed record: below the broker's limit for values."""

MAX_SHARD_CLASSES: Final = 4
MAX_MEMORY_BYTES: Final = 2**40
MAX_BATCH: Final = 2**20
MAX_PREDICTOR_BATCH: Final = 4096
ANSWER_BYTES: Final = 224
ANSWER_CLASS_BYTES: Final = 12
"""What an answer takes, besides a class index and a score for each class that its form may name."""


@dataclass(frozen=True)
class ShardClass(Document):
    """A size that shards are padded to: so many records of so many bytes."""

    KIND: ClassVar[int] = 152
    records: int
    record_bytes: int

    @property
    def total(self) -> int:
        """Bytes of all records."""
        return self.records * self.record_bytes

    def check(self) -> None:
        """Raise :class:`JobRefused` unless both are in bounds."""
        expect_between(self.records, 1, MAX_RECORDS, "the records of a shard class")
        low, high = MIN_RECORD_BYTES, MAX_RECORD_BYTES
        expect_between(self.record_bytes, low, high, "the record size of a shard class")


@dataclass(frozen=True)
class RecipeLimits(Document):
    """What the provider's recipe may be: one that is committed to, or any within the limits.

    ``parameter_bytes`` bounds parameters and buffers together, ``activation_bytes`` what one step
    at the largest batch allocates.
    """

    KIND: ClassVar[int] = 153
    commitment: Digest | None
    parameter_bytes: int
    activation_bytes: int
    batch_size: int

    def check(self) -> None:
        """Raise :class:`JobRefused` unless every limit is in bounds; a batch has two rows."""
        expect_between(self.parameter_bytes, 1, MAX_MEMORY_BYTES, "the limit of parameter bytes")
        expect_between(self.activation_bytes, 1, MAX_MEMORY_BYTES, "the limit of activation bytes")
        expect_between(self.batch_size, 2, MAX_BATCH, "the limit of the batch size")


@dataclass(frozen=True)
class Policy(Document):
    """The terms of a job. Sizes in bytes; ``predictor_batch`` in rows, answers are padded to it."""

    KIND: ClassVar[int] = 156
    version: int
    name: Annotated[str, Limit(64)]
    previous: Digest
    roster: tuple[Member, ...]
    evidence: EvidencePolicy
    schema: Schema
    recipe: RecipeLimits
    disclosure: Disclosure
    schedule: Schedule
    seed: Digest
    shard_classes: tuple[ShardClass, ...]
    query_bytes: int
    answer_bytes: int
    predictor_batch: int
    allow_simulation: bool

    @property
    def is_simulated(self) -> bool:
        """Whether evidence comes from no hardware: nothing is confidential then."""
        return self.evidence.profile == SIMULATED

    @property
    def signers(self) -> tuple[Member, ...]:
        """Whose signatures the policy needs."""
        return tuple(one for one in self.roster if one.role in SIGNERS)

    def check(self) -> None:
        """Refuse terms that contradict each other or that this version cannot keep.

        :raises JobRefused: what was expected and what came; code ``JOB_POLICY``.
        """
        expect(self.version == VERSION, "unknown version of the policy", str(VERSION), self.version)
        good = JOB_NAME.fullmatch(self.name) is not None
        expect(good, "the job has no usable name", JOB_NAME.pattern, repr(self.name))
        good = self.previous == GENESIS
        expect(good, "this version has no amendments", "zeros as previous head", "another head")
        check_roster(self.roster)
        self._check_evidence()
        self.recipe.check()
        self.schedule.check(self.roster)
        self.disclosure.check(self.schema, len(self.schedule.owners(self.roster)))
        self._check_sizes()
        size = len(self.pack())
        expect_between(size, 1, MAX_POLICY_BYTES, "the size of the policy, in bytes,")

    def _check_evidence(self) -> None:
        defects = policy_defects(self.evidence)
        expect(
            not defects, "no evidence can satisfy the policy", "usable terms", "; ".join(defects)
        )
        if self.is_simulated:
            expect(self.allow_simulation, "evidence is simulated", "allow_simulation to say so")
            key = self.evidence.service_key
            usable = key is not None and is_hpke_key(key)
            expect(usable, "the quoting service has no usable key", "an X-Wing public key")
        else:
            expect(not self.allow_simulation, "evidence is not simulated", "no allow_simulation")
        roles = sorted(one.role for one in self.evidence.measurements)
        every = ", ".join(sorted(ROLES))
        expect(roles == sorted(ROLES), "roles are not measured once each", every, roles)
        given = all(one.measurements for one in self.evidence.measurements)
        expect(given, "a role has no measurement", "at least one")

    def _check_sizes(self) -> None:
        expect_between(len(self.shard_classes), 1, MAX_SHARD_CLASSES, "the number of shard classes")
        for one in self.shard_classes:
            one.check()
        totals = [one.total for one in self.shard_classes]
        rising = all(a < b for a, b in pairwise(totals))
        expect(rising, "shard classes are not in order", "rising sizes", totals)
        row = packed_bytes(self.schema.fields("train"), 1)
        expect(totals[-1] >= row, "no shard class holds a row", f"{row} bytes", totals[-1])
        row = packed_bytes(self.schema.fields("query"), 1)
        expect_between(self.query_bytes, row, MAX_RECORD_BYTES, "the size of a query")
        target, high = self.schema.target, MAX_RECORD_BYTES
        classes = len(target.classes) if isinstance(target, LabelColumn) else 1
        low = ANSWER_BYTES + ANSWER_CLASS_BYTES * classes
        expect_between(self.answer_bytes, low, high, "the size of an answer")
        expect_between(self.predictor_batch, 1, MAX_PREDICTOR_BATCH, "a predictor's batch")


def read_policy(policy_bytes: bytes) -> Policy:
    """Return the policy of untrusted bytes: well-formed and consistent; nobody's signature yet.

    :raises EncodingRefused: not the canonical bytes of a policy.
    :raises JobRefused: terms that contradict each other; codes ``JOB_POLICY``, ``JOB_SCHEMA``.
    """
    if len(policy_bytes) > MAX_POLICY_BYTES:
        raise JobRefused(
            "the policy is too large",
            code="JOB_POLICY",
            expected=f"at most {MAX_POLICY_BYTES} bytes",
            got=str(len(policy_bytes)),
        )
    policy = Policy.unpack(policy_bytes)
    policy.check()
    return policy


def job_id(policy_bytes: bytes) -> bytes:
    """Return the id of the job that these canonical bytes of a genesis policy found (32 bytes)."""
    return sha256(labels.JOB, policy_bytes)


def policy_head(policy_bytes: bytes) -> bytes:
    """Return the head that signed objects name beside the policy's version (32 bytes)."""
    return sha256(labels.POLICY, policy_bytes)


def member(policy: Policy, identity: bytes) -> Member | None:
    """Return the member with this identity, if there is one."""
    return next((one for one in policy.roster if one.identity == identity), None)
