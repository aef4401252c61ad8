"""What a broker does to ``receipts``: readers see a prefix of the honest ones, or a refusal.

Records that are none are passed over, as noise; a tail that was cut off is seen by nobody without
witnesses. Everything else is found out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings

from chiron_stream import Auditor, InsecureSimulation
from chiron_stream.broker.memory import MemoryBroker
from chiron_stream.broker.memory.clients import MemoryReading
from chiron_stream.broker.records import Isolation, Partition, Record
from chiron_stream.clients.receipts import Checkpoints, checkpoints
from chiron_stream.errors import BrokerUnreachable, TamperDetected
from chiron_stream.recipe import Recipe
from chiron_stream.wire.document import kind_of
from chiron_stream.wire.receipts import (
    Checkpoint,
    CheckpointRecord,
    Plan,
    PlanRecord,
    checkpoint_hash,
)
from enclave_workers.local import LocalJob
from tests.local import jobs
from tests.unit.core import altering
from tests.unit.core.altering import Alteration, alterations, altered

Change = Callable[[list[bytes]], list[bytes]]
REFUSALS = {
    *("SIGNER", "SIGNATURE", "RECEIPT_ROOT", "CHECKPOINT_CHAIN", "LEDGER"),
    *("PLAN_MISSING", "PLAN_ROUND", "DOES_NOT_OPEN", "NOT_CANONICAL"),
}


class Receipts(MemoryReading):
    """Shows another topic than there is."""

    change: Change

    def _read(self, limit: int) -> list[Record]:
        found = super()._read(limit)
        values = self.change([one.value for one in found])
        return [found[0]._replace(value=one) for one in values]


class Altering(MemoryBroker):
    """The broker of a job, whose ``receipts`` are altered while they are read."""

    def __init__(self, job: LocalJob, change: Change) -> None:
        super().__init__(job.broker.cluster)
        self._change = change

    def reader(
        self,
        start: Mapping[Partition, int],
        *,
        isolation: Isolation = Isolation.READ_COMMITTED,
        wait: float = 0.0,
    ) -> MemoryReading:
        if not all(one.topic.endswith(".receipts") for one in start):
            return super().reader(start, isolation=isolation, wait=wait)
        made = Receipts(self.cluster, start, isolation)
        made.change = self._change
        return made


class Finished:
    """A job that is finished, what stands on its receipts, and what is read there."""

    def __init__(self, job: LocalJob) -> None:
        self.job = job
        self.values = [one.value for one in jobs.records(job, "receipts")]
        self.checkpoints, self.plans = self.read(list), self.read_plans(list)

    def auditor(self, change: Change = list) -> Auditor:
        identity = self.job.directory.identity("dan")
        broker = Altering(self.job, change)
        return Auditor(self.job.job, identity, evidence=InsecureSimulation(), broker=broker)

    def read(self, change: Change) -> list[Checkpoint]:
        with self.auditor(change) as auditor:
            return [one for one, _ in checkpoints(auditor)]

    def read_plans(self, change: Change) -> list[Plan]:
        with self.auditor(change) as auditor:
            return auditor.plans()


@pytest.fixture(scope="module")
def finished(recipe: Recipe) -> Iterator[Finished]:
    with LocalJob(jobs.terms()) as job:
        jobs.train(job, recipe)
        yield Finished(job)


@pytest.fixture(scope="module")
def other(recipe: Recipe) -> Iterator[Finished]:
    """Another job of the same terms."""
    with LocalJob(jobs.terms()) as job:
        jobs.train(job, recipe)
        yield Finished(job)


def of_kind(kind: int, change: Change) -> Change:
    """Change the records of one kind, and leave the others where they are."""

    def changed(values: list[bytes]) -> list[bytes]:
        mine = change([one for one in values if kind_of(one) == kind])
        return [*(one for one in values if kind_of(one) != kind), *mine]

    return changed


def with_fields(place: int, **parts: Callable[[Any], Any]) -> Change:
    """Give the fields of one checkpoint record other values."""

    def change(values: list[bytes]) -> list[bytes]:
        record = CheckpointRecord.unpack(values[place])
        fields = {name: made(getattr(record, name)) for name, made in parts.items()}
        return [*values[:place], replace(record, **fields).pack(), *values[place + 1 :]]

    return of_kind(CheckpointRecord.KIND, change)


def more_trained(packed: bytes) -> bytes:
    checkpoint = Checkpoint.unpack(packed)
    return replace(checkpoint, trained=checkpoint.trained + 1).pack()


def without(place: int) -> Change:
    return lambda values: [*values[:place], *values[place + 1 :]]


def twice(place: int) -> Change:
    return lambda values: [*values[: place + 1], *values[place:]]


def swapped(values: list[bytes]) -> list[bytes]:
    return [*values[:2], values[3], values[2], *values[4:]]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (with_fields(3, signature=lambda one: bytes(64) + one[64:]), "SIGNATURE"),
        (with_fields(3, checkpoint=more_trained), "SIGNATURE"),
        (with_fields(3, signer=lambda _one: bytes(32)), "SIGNER"),
        (with_fields(3, leaves=lambda one: (bytes(32), *one[1:])), "RECEIPT_ROOT"),
        (with_fields(3, leaves=lambda one: one[:-1]), "RECEIPT_ROOT"),
        (of_kind(CheckpointRecord.KIND, without(0)), "CHECKPOINT_CHAIN"),
        (of_kind(CheckpointRecord.KIND, without(3)), "CHECKPOINT_CHAIN"),
        (of_kind(CheckpointRecord.KIND, twice(3)), "CHECKPOINT_CHAIN"),
        (of_kind(CheckpointRecord.KIND, swapped), "CHECKPOINT_CHAIN"),
    ],
    ids=[
        "signature",
        "counts",
        "signer",
        "leaf",
        "last leaf",
        "first",
        "one",
        "doubled",
        "swapped",
    ],
)
def test_altered_checkpoints_are_refused(finished: Finished, change: Change, code: str) -> None:
    with pytest.raises(TamperDetected) as refused:
        finished.read(change)
    assert refused.value.code == code


@pytest.mark.parametrize("change", [without(0), without(3), twice(3), swapped])
def test_plans_that_are_not_all_rounds_in_order_are_refused(
    finished: Finished, change: Change
) -> None:
    with pytest.raises(TamperDetected) as refused:
        finished.read_plans(of_kind(PlanRecord.KIND, change))
    assert refused.value.code == "PLAN_MISSING"


def test_receipts_of_another_job_are_refused(finished: Finished, other: Finished) -> None:
    for read in (finished.read, finished.read_plans):
        auditor = finished.job.job.policy.roster[-1].identity

        def swap(values: list[bytes], auditor: bytes = auditor) -> list[bytes]:
            del values
            return [for_auditor(one, auditor) for one in other.values]

        with pytest.raises(TamperDetected) as refused:
            read(swap)
        assert refused.value.code == "SIGNER"


def for_auditor(value: bytes, auditor: bytes) -> bytes:
    if kind_of(value) != PlanRecord.KIND:
        return value
    return replace(PlanRecord.unpack(value), auditor=auditor).pack()


def test_receipts_that_end_early_are_a_prefix(finished: Finished) -> None:
    cut = of_kind(CheckpointRecord.KIND, lambda values: values[:3])
    assert finished.read(cut) == finished.checkpoints[:3]
    assert finished.read_plans(of_kind(PlanRecord.KIND, lambda v: v[:3])) == finished.plans[:3]


def test_checkpoints_name_each_other_and_every_round(finished: Finished) -> None:
    found = finished.checkpoints
    assert [one.round for one in found] == list(range(1, 9))
    hashes = [checkpoint_hash(one.pack()) for one in found]
    assert [one.previous for one in found] == [bytes(32), *hashes[:-1]]


def test_look_that_broke_off_is_begun_again_and_loses_nothing(
    finished: Finished, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaking(_party: object, _first: int, _end: int) -> Iterator[CheckpointRecord]:
        yield from of_records[:2]
        raise BrokerUnreachable("gone")

    with finished.auditor() as auditor:
        of_records = [record for _, record in checkpoints(auditor)]
        looking = Checkpoints(auditor)
        with monkeypatch.context() as patched:
            patched.setattr("chiron_stream.clients.receipts._between", breaking)
            with pytest.raises(BrokerUnreachable):
                looking.read_on()
        assert [one for one, _ in looking.read_on()] == finished.checkpoints
        assert looking.read_on() == []


def prefix(found: Sequence[object], honest: Sequence[object]) -> bool:
    return list(found) == list(honest[: len(found)])


@given(changes=alterations(most=3))
@settings(max_examples=60)
def test_whatever_is_done_to_receipts_a_prefix_is_read_or_a_refusal(
    finished: Finished, other: Finished, changes: list[Alteration]
) -> None:
    def change(values: list[bytes]) -> list[bytes]:
        records = [altering.Record("receipts", one) for one in values]
        foreign = [altering.Record("receipts", one) for one in other.values]
        return [one.value for one in altered(records, changes, foreign)]

    for read, honest in (
        (finished.read, finished.checkpoints),
        (finished.read_plans, finished.plans),
    ):
        try:
            found = read(change)
        except TamperDetected as error:
            code = error.code
        else:
            assert prefix(found, honest)
            continue
        assert code in REFUSALS
