"""What a coordinator signs that no honest one would: readers hold it against policy and job."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from chiron_stream.attestation.akd import AttestedKeyDocument
from chiron_stream.clients import receipts
from chiron_stream.clients.party import Connected
from chiron_stream.errors import TamperDetected
from chiron_stream.recipe import Recipe
from chiron_stream.wire.receipts import (
    checkpoint_hash,
    read_record,
    sign_checkpoint,
    sign_conflict,
)
from enclave_workers.local import LocalJob
from tests.local import jobs
from tests.local.forging import Session
from tests.unit.wire.parties import COORDINATOR

honest_signers = receipts.signers


@pytest.fixture
def show(monkeypatch: pytest.MonkeyPatch) -> Callable[[list[bytes]], None]:
    """Show other ``receipts``, by a coordinator whose key is that of :data:`COORDINATOR`."""

    def signers(party: Connected) -> dict[bytes, AttestedKeyDocument]:
        known = honest_signers(party)
        return {one: replace(known[one], signing_key=COORDINATOR.public) for one in known}

    def shown(values: list[bytes]) -> None:
        records = [read_record(one) for one in values]
        monkeypatch.setattr(receipts, "signers", signers)
        monkeypatch.setattr(receipts, "_between", lambda *_: iter(records))

    return shown


def signed_again(job: LocalJob, scored: int) -> list[bytes]:
    """Return the job's checkpoints, the last of which tells of so many scores more."""
    found = receipts.checkpoints(job.owner("alice"))
    made: list[bytes] = []
    previous = bytes(32)
    for checkpoint, record in found:
        more = scored if checkpoint is found[-1][0] else 0
        told = replace(checkpoint, previous=previous, scored=checkpoint.scored + more)
        made.append(sign_checkpoint(told, record.leaves, record.signer, COORDINATOR.sign))
        previous = checkpoint_hash(told.pack())
    return made


def test_checkpoints_whose_ledger_the_policy_does_not_grant_are_refused(
    recipe: Recipe, show: Callable[[list[bytes]], None]
) -> None:
    with LocalJob(jobs.terms()) as job:
        jobs.train(job, recipe)
        honest, false = signed_again(job, 0), signed_again(job, 1)
        show(honest)
        assert len(receipts.checkpoints(job.owner("alice"))) == len(honest)
        show(false)
        with pytest.raises(TamperDetected) as refused:
            receipts.checkpoints(job.owner("alice"))
    assert refused.value.code == "LEDGER"


def test_conflict_of_another_job_is_refused(show: Callable[[list[bytes]], None]) -> None:
    with LocalJob(jobs.terms(), workers={"coordinator": 1}) as job:
        published = jobs.publish(job, "alice")
        published.wait("accepted", 20)
        thief = Session(job, job.owner("alice"), "points")
        thief.announces()
        assert thief.refusals() == ["CONFLICT"]
        (honest,) = published.conflicts()
        (signer,) = receipts.signers(job.owner("alice"))
        show([sign_conflict(honest.conflict, signer, COORDINATOR.sign)])
        assert published.conflicts() == [honest]
        other = replace(honest.conflict, job=bytes(32))
        show([sign_conflict(other, signer, COORDINATOR.sign)])
        with pytest.raises(TamperDetected) as refused:
            published.conflicts()
    assert refused.value.code == "RECEIPT"
