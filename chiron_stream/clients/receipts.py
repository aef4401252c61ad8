"""Receipts: signed checkpoints that name a shard, verified before anybody sees them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from chiron_stream.attestation.akd import AttestedKeyDocument, akd_hash
from chiron_stream.broker.extents import read_until
from chiron_stream.broker.ranges import refuse_out_of_range
from chiron_stream.errors import TamperDetected
from chiron_stream.job.policy import Policy, Role
from chiron_stream.wire.canonical import EncodingRefused
from chiron_stream.wire.receipts import (
    Checkpoint,
    CheckpointRecord,
    Conflict,
    ConflictRecord,
    PlanRecord,
    checkpoint_hash,
    read_checkpoint,
    read_conflict,
    read_record,
    shard_leaf,
)

if TYPE_CHECKING:
    from chiron_stream.clients.party import Connected


@dataclass(frozen=True)
class Receipt:
    """A shard entered ``version`` in ``round``, as a coordinator signed.

    ``checkpoints`` holds the hash of every checkpoint that names the shard, one for each pass.
    """

    shard: int
    round: int
    version: int
    epoch: int
    checkpoints: tuple[bytes, ...]
    simulated: bool
    freshness: str = "local"


@dataclass(frozen=True)
class Ledger:
    """What left of training so far, as the newest checkpoint says.

    ``provider_bits``: of all reports to the provider; ``scores``: how many, of all owners. What a
    score may tell is bounded by the policy's ceiling for each owner.
    """

    provider_bits: int
    scores: int
    checkpoint: bytes


@dataclass(frozen=True)
class Contradiction:
    """A shard was announced twice with other content, as a coordinator signed.

    ``stands``: whether this publication's content is the one that was taken. ``conflict`` has the
    leaves of both.
    """

    shard: int
    stands: bool
    conflict: Conflict


def receipt_records(party: Connected) -> Iterator[CheckpointRecord | PlanRecord | ConflictRecord]:
    """Yield what stands on ``receipts`` now, unverified; what is no such record is passed over."""
    marks = party.broker.watermarks(party.partition("receipts"))
    yield from _between(party, marks.low, marks.stable)


def _between(
    party: Connected, first: int, end: int
) -> Iterator[CheckpointRecord | PlanRecord | ConflictRecord]:
    place = party.partition("receipts")
    if first == end:
        return
    with party.broker.reader({place: first}, wait=0.01) as reader:
        for record in read_until(reader, place, end):
            with suppress(EncodingRefused):
                yield read_record(record.value)


def checkpoints(party: Connected) -> list[tuple[Checkpoint, CheckpointRecord]]:
    """Return every checkpoint of the job, verified, in order.

    :raises TamperDetected: a signature, the chain of hashes, or two that contradict each other.
    :raises EvidenceRefused: a signer's evidence.
    """
    return Checkpoints(party).read_on()


class Checkpoints:
    """Checkpoints of a job, verified, each once: read on from where the last reading ended."""

    def __init__(self, party: Connected) -> None:
        self._party = party
        self._next: int | None = None
        self._previous = bytes(32)
        self.newest: Checkpoint | None = None

    def read_on(self) -> list[tuple[Checkpoint, CheckpointRecord]]:
        """Return those that have come since, in order; errors as of :func:`checkpoints`.

        :raises RolledBack: the log is shorter than it was.
        """
        place = self._party.partition("receipts")
        marks = self._party.broker.watermarks(place)
        first = marks.low if self._next is None else self._next
        refuse_out_of_range(place, first, marks)
        end = max(first, marks.stable)
        known = signers(self._party)
        records = list(_between(self._party, first, end))  # all of it is here, or nothing counts
        self._next = end
        return [
            (self._verified(one, known), one)
            for one in records
            if isinstance(one, CheckpointRecord)
        ]

    def _verified(
        self, record: CheckpointRecord, known: Mapping[bytes, AttestedKeyDocument]
    ) -> Checkpoint:
        if record.signer not in known:
            raise TamperDetected("a checkpoint of a signer without evidence", code="SIGNER")
        checkpoint = read_checkpoint(record, known[record.signer].signing_key)
        if checkpoint.previous != self._previous:
            raise TamperDetected(
                f"the checkpoint of round {checkpoint.round} does not follow the one before",
                code="CHECKPOINT_CHAIN",
            )
        check_ledger(self._party.job.policy, self.newest, checkpoint)
        self._previous = checkpoint_hash(record.checkpoint)
        self.newest = checkpoint
        return checkpoint


def check_ledger(policy: Policy, before: Checkpoint | None, checkpoint: Checkpoint) -> None:
    """Refuse a ledger that falls, or rises above what the policy grants."""
    terms, owners = policy.disclosure, sum(one.role is Role.OWNER for one in policy.roster)
    disclosed, scored = (before.disclosed, before.scored) if before else (0, 0)
    good = (
        checkpoint.disclosed - disclosed in (0, terms.report_bits)
        and checkpoint.disclosed <= terms.progress_ceiling
        and 0 <= checkpoint.scored - scored <= (owners if terms.score_every else 0)
    )
    if not good:
        raise TamperDetected(
            f"the ledger of round {checkpoint.round} is not what the policy grants",
            code="LEDGER",
            expected=f"{terms.report_bits} bits a report, {terms.progress_ceiling} at most",
            got=f"{checkpoint.disclosed} bits, {checkpoint.scored} scores",
        )


def read_ledger(party: Connected) -> Ledger:
    """Return the ledger behind the newest checkpoint, all of them verified."""
    found = checkpoints(party)
    if not found:
        return Ledger(0, 0, bytes(32))
    newest, record = found[-1]
    return Ledger(newest.disclosed, newest.scored, checkpoint_hash(record.checkpoint))


def signers(party: Connected) -> dict[bytes, AttestedKeyDocument]:
    """Return every epoch's coordinator, appraised at a time when its keys were good."""
    now = int(time.time())
    found = {}
    for activation in party.activations():
        claimed = AttestedKeyDocument.unpack(activation.akd)
        appraised = party.appraised(activation, min(now, claimed.not_after - 1))
        found[akd_hash(activation.akd)] = appraised.document
    return found


def read_receipts(
    party: Connected, wanted: Mapping[int, tuple[bytes, int, bytes]]
) -> list[Receipt]:
    """Return receipts for shards given by number as (session, number, digest)."""
    leaves = {shard_leaf(*one): number for number, one in wanted.items()}
    first: dict[int, Checkpoint] = {}
    hashes: dict[int, list[bytes]] = {}
    for checkpoint, record in checkpoints(party):
        for leaf in record.leaves:
            number = leaves.get(leaf)
            if number is not None:
                first.setdefault(number, checkpoint)
                hashes.setdefault(number, []).append(checkpoint_hash(record.checkpoint))
    return [
        Receipt(
            shard=number,
            round=one.round,
            version=one.version,
            epoch=one.epoch,
            checkpoints=tuple(hashes[number]),
            simulated=party.job.policy.is_simulated,
        )
        for number, one in sorted(first.items())
    ]


def read_conflicts(
    party: Connected, wanted: Mapping[int, tuple[bytes, int, bytes]]
) -> list[Contradiction]:
    """Return the verified conflicts of shards given by number as (session, number, digest).

    :raises TamperDetected: a conflict of no coordinator that the policy allows, or of another job.
    """
    known, leaves = signers(party), {shard_leaf(*one): number for number, one in wanted.items()}
    found = []
    for record in receipt_records(party):
        if isinstance(record, ConflictRecord):
            conflict = _conflict(party, record, known)
            found += [
                Contradiction(leaves[leaf], leaf == conflict.first, conflict)
                for leaf in (conflict.first, conflict.second)
                if leaf in leaves
            ]
    return found


def _conflict(
    party: Connected, record: ConflictRecord, known: Mapping[bytes, AttestedKeyDocument]
) -> Conflict:
    if record.signer not in known:
        raise TamperDetected("a conflict of a signer without evidence", code="SIGNER")
    conflict = read_conflict(record, known[record.signer].signing_key)
    if conflict.job != party.job.job_id:
        raise TamperDetected("a conflict of another job", code="RECEIPT")
    return conflict
