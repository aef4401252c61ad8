"""Workers and parties that meet code which the policy does not name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from chiron_stream.attestation.evidence import RoleMeasurements
from chiron_stream.clients.identity import Identity
from chiron_stream.errors import EvidenceRefused, Timeout
from chiron_stream.job import file
from chiron_stream.job.file import JobFile, sign_policy
from chiron_stream.local.directory import JobDirectory, create
from chiron_stream.recipe import Recipe
from enclave_workers.local import LocalJob
from tests.local import jobs


def expecting_others(path: Path, *roles: str) -> JobDirectory:
    """Return a job whose policy names other measurements for some roles."""
    directory = create(path, jobs.terms())
    policy = directory.job().policy
    other = tuple(
        RoleMeasurements(one.role, (bytes([7]) * 32,)) if one.role in roles else one
        for one in policy.evidence.measurements
    )
    policy = replace(policy, evidence=replace(policy.evidence, measurements=other))
    packed = policy.pack()
    signers = [Identity.load(directory.identity(name)) for name in (*jobs.OWNERS, "bob")]
    signatures = sorted(sign_policy(packed, one.signing_key) for one in signers)
    made = JobFile(packed, tuple(signatures), "127.0.0.1:9092")
    directory.job_file.write_text(file.dumps(made))
    return directory


@pytest.mark.parametrize("role", ["trainer", "predictor"])
def test_worker_of_another_measurement_is_rejected_and_gets_nothing(
    tmp_path: Path, recipe: Recipe, role: str
) -> None:
    with LocalJob(expecting_others(tmp_path / "job", role)) as job:
        assert jobs.rejection(job, "workers", _join_of(job, role)).code == "EVIDENCE"
        jobs.publish_all(job, recipe)
        status = job.wait(lambda status: status.workers == 1 and status.accepted == 8)
        assert status.workers == 1
        if role == "trainer":
            assert (status.waiting_for, status.trained) == ("trainer", 0)
        assert jobs.all_alive(job)


def _join_of(job: LocalJob, role: str) -> int:
    """Return where a role's worker asked to join: its record names the role in clear."""
    found: list[int] = []

    def there() -> bool:
        joins = jobs.records(job, "workers")
        found[:] = [one.offset for one in joins if role.encode() in one.value]
        return bool(found)

    jobs.until(job, there)
    return found[0]


def test_workers_of_the_named_measurements_are_welcomed(tmp_path: Path) -> None:
    with LocalJob(expecting_others(tmp_path / "job")) as job:
        assert job.wait(lambda status: status.workers == 2).epoch == 1


def test_party_refuses_a_coordinator_of_another_measurement_and_says_why(tmp_path: Path) -> None:
    directory = expecting_others(tmp_path / "job", "coordinator")
    with LocalJob(directory, workers={"coordinator": 1}) as job:
        with pytest.raises(EvidenceRefused) as refused:
            jobs.publish(job, "alice")
        assert any(one.startswith("measurement: expected 0707") for one in refused.value.reasons)
        assert jobs.records(job, "control") == []


def test_workers_refuse_a_coordinator_of_another_measurement(tmp_path: Path) -> None:
    with LocalJob(expecting_others(tmp_path / "job", "coordinator")) as job:
        job.wait(lambda status: status.workers == 2)
        jobs.until(job, lambda: len(jobs.rejected(job)) >= 2)
        assert {one.topic for one in jobs.rejected(job)} == {"tasks"}
        assert {one.code for one in jobs.rejected(job)} == {"COORDINATOR"}


def test_party_without_a_coordinator_waits_and_says_so(tmp_path: Path) -> None:
    with LocalJob(expecting_others(tmp_path / "job"), workers={}) as job, pytest.raises(Timeout):
        job.owner("alice").coordinator(timeout=0.3)
