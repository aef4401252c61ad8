"""How a worker hears its coordinator: whom it believes, in which order, and what it refuses."""

from __future__ import annotations

from dataclasses import replace

import pytest

from chiron_stream.attestation.evidence import SIMULATED, Evidence
from chiron_stream.errors import TamperDetected
from chiron_stream.wire.courier import Line
from chiron_stream.wire.journal import Activation
from chiron_stream.wire.tasks import KeyedObject, Serve, Task, seal_task, seal_welcome
from chiron_stream.wire.workers import Scope
from enclave_workers.core.boot import Boot, CoordinatorFacts
from enclave_workers.core.membership import AHEAD, Membership
from tests.unit.core.arrivals import AUTHORITY, MEASUREMENT, attested
from tests.unit.core.desk import NOW, Desk, DeskTee
from tests.unit.core.shelf import job_of
from tests.unit.core.story import POLICY, digest, ref, tampered

JOB = job_of(attested(POLICY))
OBJECT = KeyedObject(ref(), digest("key"))
BODY = Serve(1, 1, bytes(32), OBJECT, OBJECT, digest("sessions"))


class MintingTee(DeskTee):
    """A TEE whose evidence passes."""

    profile = SIMULATED

    def evidence(self, report_data: bytes) -> Evidence:
        return AUTHORITY.evidence(MEASUREMENT, report_data, NOW)


class Heard:
    """The coordinator of one epoch, as one worker hears it."""

    def __init__(self, worker: Membership, epoch: int, tee: DeskTee | None = None) -> None:
        self.epoch = epoch
        facts = CoordinatorFacts(epoch, 1, bytes(32))
        self.boot = Boot(JOB, "coordinator", tee or MintingTee(), NOW, facts=facts)
        self._worker = worker.boot
        self.secret = digest(("secret", epoch))

    def scope(self, **parts: object) -> Scope:
        about = Scope(JOB.job_id, JOB.head, self.epoch, self._worker.id)
        return replace(about, **parts)  # type: ignore[arg-type]

    def activation(self, **parts: object) -> Line:
        made = Activation(self.epoch, 1, bytes(32), self.boot.akd, self.boot.evidence)
        return Line("authority", 0, 0, replace(made, **parts).pack())  # type: ignore[arg-type]

    def welcome(self, **parts: object) -> Line:
        value = seal_welcome(
            self.scope(**parts),
            self.boot.hash,
            self._worker.hash,
            self._worker.hpke.public,
            self.secret,
            self.boot.sign,
        )
        return Line("tasks", 0, 0, value)

    def task(self, number: int = 0) -> Line:
        value = seal_task(self.secret, self.scope(), number, BODY, self.boot.sign)
        return Line("tasks", 0, 0, value)


@pytest.fixture
def worker() -> Membership:
    return Membership(Desk(), JOB, "predictor", DeskTee(), NOW)


def hear(worker: Membership, *lines: Line) -> list[Task]:
    return [task for line in lines for task in worker.heard(line, NOW)]


def refusal(worker: Membership, line: Line) -> str:
    with pytest.raises(TamperDetected) as refused:
        hear(worker, line)
    return refused.value.code


def joined(worker: Membership, epoch: int = 1) -> Heard:
    """Let a coordinator activate an epoch and welcome the worker."""
    made = Heard(worker, epoch)
    hear(worker, made.activation(), made.welcome())
    return made


def test_task_of_an_appraised_coordinator_is_taken_behind_its_welcome(worker: Membership) -> None:
    coordinator = joined(worker)
    assert worker.welcomed
    assert hear(worker, coordinator.task()) == [BODY]


@pytest.mark.parametrize("epoch", [1, 2])
def test_activation_of_the_same_or_a_lower_epoch_is_refused(worker: Membership, epoch: int) -> None:
    joined(worker, 2)
    assert refusal(worker, Heard(worker, epoch).activation()) == "EPOCH"


def test_activation_of_a_later_epoch_than_its_evidence_is_refused(worker: Membership) -> None:
    assert refusal(worker, Heard(worker, 1).activation(epoch=2)) == "EPOCH"


def test_successor_without_evidence_is_not_followed_and_its_predecessor_no_more(
    worker: Membership,
) -> None:
    before = joined(worker)
    after = Heard(worker, 2, DeskTee())
    hear(worker, after.activation())
    assert refusal(worker, after.welcome()) == "COORDINATOR"
    before.epoch = 2  # the old boot's key, in the name of the new epoch
    assert refusal(worker, before.welcome()) == "COORDINATOR"


def test_welcome_of_another_boot_than_the_activation_s_is_refused(worker: Membership) -> None:
    joined(worker)
    hear(worker, Heard(worker, 2).activation())
    assert refusal(worker, Heard(worker, 2).welcome()) == "COORDINATOR"


def test_welcome_before_any_activation_of_its_epoch_waits_for_it(worker: Membership) -> None:
    coordinator = Heard(worker, 1)
    assert hear(worker, coordinator.welcome(), coordinator.task()) == []
    assert not worker.welcomed
    hear(worker, coordinator.activation())
    assert hear(worker, *worker.due()) == [BODY]
    assert worker.due() == []


def test_no_more_is_kept_for_an_activation_than_a_bound(worker: Membership) -> None:
    coordinator = Heard(worker, 9)
    hear(worker, *[coordinator.welcome()] * (AHEAD + 5))
    assert len(worker.due()) == AHEAD


def test_records_for_another_boot_are_passed_over(worker: Membership) -> None:
    coordinator = Heard(worker, 1)
    hear(worker, coordinator.activation(), coordinator.welcome(boot=bytes(16)))
    assert not worker.welcomed


@pytest.mark.parametrize("number", [0, 1])
def test_task_that_was_taken_or_passed_over_before_is_refused(
    worker: Membership, number: int
) -> None:
    coordinator = joined(worker)
    hear(worker, coordinator.task(1))
    assert refusal(worker, coordinator.task(number)) == "REPEAT"


def test_refused_task_does_not_use_up_its_number(worker: Membership) -> None:
    coordinator = joined(worker)
    line = coordinator.task()
    assert refusal(worker, replace(line, value=tampered(line.value, -70))) == "SIGNATURE"
    assert hear(worker, line) == [BODY]


def test_task_without_a_welcome_of_its_epoch_is_refused(worker: Membership) -> None:
    coordinator = Heard(worker, 1)
    hear(worker, coordinator.activation())
    assert refusal(worker, coordinator.task()) == "EPOCH"


def test_task_of_an_earlier_epoch_is_refused(worker: Membership) -> None:
    before = joined(worker)
    joined(worker, 2)
    assert refusal(worker, before.task()) == "EPOCH"


def test_late_welcome_of_an_earlier_epoch_changes_nothing(worker: Membership) -> None:
    before = Heard(worker, 1)
    hear(worker, before.activation())
    after = joined(worker, 2)
    hear(worker, before.welcome())
    assert refusal(worker, before.task()) == "EPOCH"
    assert hear(worker, after.task()) == [BODY]
