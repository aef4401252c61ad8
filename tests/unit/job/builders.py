"""A job that everything agrees on, to break one clause at a time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from chiron_stream.attestation.evidence import (
    INTEL_ROOT_DIGEST,
    ROLES,
    SGX,
    SIMULATED,
    EvidencePolicy,
    RoleMeasurements,
)
from chiron_stream.clients.identity import Identity
from chiron_stream.job.file import JobFile, sign_policy
from chiron_stream.job.policy import (
    DataSet,
    Disclosure,
    Form,
    Kind,
    Member,
    Policy,
    RecipeLimits,
    Role,
    Schedule,
    ShardClass,
)
from chiron_stream.job.schema import (
    CategoryColumn,
    LabelColumn,
    NumberColumn,
    Schema,
    TargetColumn,
    TensorColumn,
)


def identity(name: str, number: int) -> Identity:
    return Identity(name, bytes([number]) * 32, bytes([number + 100]) * 32)


MARY = identity("st-mary", 1)
JOHN = identity("st-john", 2)
LAB = identity("model-lab", 3)
WARD = identity("ward-7", 4)
AUDITOR = identity("auditor", 5)
SERVICE = identity("quoting-service", 6)
STRANGER = identity("stranger", 7)

SCHEMA = Schema(
    (
        NumberColumn("age", "float32", 0, 120, "mask", 50),
        NumberColumn("visits", "int32", 0, 1000, "constant", 1),
        CategoryColumn("site", ("north", "south"), "bucket"),
        TensorColumn("scan", (2, 3), "uint8", 0, 255),
        LabelColumn("outcome", ("home", "ward", "died")),
    )
)
REGRESSION = Schema((NumberColumn("age", "float32", 0, 120), TargetColumn("days", 0, 400)))

EVIDENCE = EvidencePolicy(
    profile=SIMULATED,
    root_digest=bytes([9]) * 32,
    service_key=SERVICE.hpke_public,
    measurements=tuple(RoleMeasurements(role, (bytes([8]) * 32,)) for role in ROLES),
    statuses=("UpToDate",),
    minimum_evaluation_number=0,
)
HARDWARE = replace(EVIDENCE, profile=SGX, root_digest=INTEL_ROOT_DIGEST, service_key=None)

ROSTER = (
    MARY.public_identity.member(Role.OWNER),
    JOHN.public_identity.member(Role.OWNER),
    LAB.public_identity.member(Role.PROVIDER),
    Member(Role.CLIENT, WARD.name, WARD.public),
    AUDITOR.public_identity.member(Role.AUDITOR),
)
DISCLOSURE = Disclosure(
    form=Form.LABEL,
    k=0,
    bits=0,
    minimum_owners=2,
    minimum_rows=100,
    answers_per_client=1000,
    grant_size=50,
)
SCHEDULE = Schedule(
    kind=Kind.CLOSED,
    data_sets=(DataSet(MARY.public, "icu"), DataSet(JOHN.public, "icu")),
    slots=2,
    shards_per_slot=4,
    passes=3,
    step_deadline=30,
    release_every=1,
)
POLICY = Policy(
    version=1,
    name="icu-mortality",
    previous=bytes(32),
    roster=ROSTER,
    evidence=EVIDENCE,
    schema=SCHEMA,
    recipe=RecipeLimits(None, 10_000_000, 100_000_000, 128),
    disclosure=DISCLOSURE,
    schedule=SCHEDULE,
    seed=bytes([7]) * 32,
    shard_classes=(ShardClass(1, 4096), ShardClass(4, 65_536)),
    query_bytes=512,
    answer_bytes=288,
    predictor_batch=16,
    allow_simulation=True,
)
SERVERS = "kafka-1.example:9093,[::1]:9092"


def policy_with(**parts: Any) -> Policy:
    return replace(POLICY, **parts)


def file_of(policy: Policy = POLICY, *signers: Identity) -> JobFile:
    """Return a job file, signed by all who must unless others are named."""
    data = policy.pack()
    signatures = (sign_policy(data, one.signing_key) for one in signers or (MARY, JOHN, LAB))
    return JobFile(data, tuple(sorted(signatures)), SERVERS)
