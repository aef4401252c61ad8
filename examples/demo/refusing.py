"""Attacks on what was published, and by which name each is refused."""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections.abc import Callable
from typing import Final

from chiron_stream.attestation.appraisal import appraise
from chiron_stream.attestation.evidence import (
    COORDINATOR,
    Evidence,
    EvidencePolicy,
    RoleMeasurements,
)
from chiron_stream.clients.observer import Observer
from chiron_stream.clients.publication import Publication
from chiron_stream.errors import EvidenceRefused, TamperDetected
from chiron_stream.job.file import Job
from chiron_stream.wire.crypto import gcm_open
from chiron_stream.wire.shards import ShardName, open_shard

ACCEPTED: Final = "ACCEPTED"
HEADER: Final = 44
"""Bytes of a record before its ciphertext."""


def seen_by_the_broker(publication: Publication) -> str:
    """Return what a reader at the broker can tell of a shard record."""
    record = publication.sealed_again(0)[1][0]
    header, sealed = record[:HEADER], record[HEADER:]
    return (
        f"{len(record)} bytes: magic {header[:4].decode()}, session {header[4:20].hex()}, "
        f"data set {header[20:28].hex()}, shard {int.from_bytes(header[28:36], 'big')}; "
        f"then ciphertext {sealed[:16].hex()}…"
    )


def of_a_flipped_byte(publication: Publication, flip: int = 1) -> list[str]:
    """Flip one byte of a copied record; return how the announced digest and the seal refuse it.

    :param flip: bits of the byte that change; 0 is the control.
    """
    number, records = publication.sealed_again(0)
    keys, data_set = publication.keys, publication.data_set
    name = ShardName(keys.session, keys.data_set(data_set), number)
    key, digest = keys.shard(data_set, number), publication.sent[number].digest
    altered = bytearray(records[0])
    altered[100] ^= flip
    copied = [bytes(altered), *records[1:]]
    return [
        _code(lambda: open_shard(key, name, digest, dict(enumerate(copied)), len(copied))),
        _code(lambda: gcm_open(key, 0, copied[0][HEADER:], copied[0][:HEADER])),
    ]


def _code(opens: Callable[[], object]) -> str:
    try:
        opens()
    except TamperDetected as error:
        return error.code
    return ACCEPTED


def other_code(job: Job) -> EvidencePolicy:
    """Return the evidence policy of parties that trust another coordinator's code than runs."""
    measured = RoleMeasurements(COORDINATOR, (hashlib.sha256(b"other code").digest(),))
    found = job.policy.evidence
    rest = tuple(one for one in found.measurements if one.role != COORDINATOR)
    return dataclasses.replace(found, measurements=(measured, *rest))


def of_the_coordinator(job: Job, policy: EvidencePolicy) -> list[str]:
    """Appraise the running coordinator's evidence by a policy; return error and reasons, if any."""
    with Observer(job) as observer:
        newest = max(observer.activations(), key=lambda one: one.epoch)
    try:
        appraise(
            Evidence.unpack(newest.evidence),
            newest.akd,
            role=COORDINATOR,
            policy=policy,
            job_id=job.job_id,
            policy_version=job.policy.version,
            policy_head=job.head,
            now=int(time.time()),
            allow_simulation=True,
        )
    except EvidenceRefused as error:
        return [type(error).__name__, *error.reasons]
    return [ACCEPTED]
