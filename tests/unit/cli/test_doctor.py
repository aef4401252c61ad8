"""``chiron doctor``: what each check says of a machine, of keys, of a job that runs in memory."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from chiron_stream.broker.local import distribution
from chiron_stream.cli.checks import machine
from chiron_stream.cli.checks.finding import Finding, State, exit_code, failed, ok, warn
from chiron_stream.cli.checks.taking_part import Cluster, identities, job_file
from chiron_stream.clients.identity import Identity
from chiron_stream.clients.observer import Observer
from chiron_stream.errors import (
    BrokerUnreachable,
    BugFound,
    ChironError,
    EvidenceRefused,
    JobRefused,
    TamperDetected,
    UsageRefused,
)
from chiron_stream.job.file import loads
from chiron_stream.local.directory import JobDirectory, create
from enclave_workers.local import LocalJob
from tests.jobs.command import data_of
from tests.local import jobs
from tests.unit.cli.typed import typed

# the machine


def script(path: Path, text: str) -> Path:
    """Write an executable, as somebody's Java or Maven."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_python_that_is_too_old_fails() -> None:
    assert machine.python((3, 11)).state is State.OK
    found = machine.python((3, 10))
    assert (found.state, found.hint) == (State.FAIL, "install Python 3.11 or later")


def test_packages_that_are_missing_are_named() -> None:
    assert machine.packages(("numpy",)).state is State.OK
    found = machine.packages(("numpy", "no-such-package"))
    assert (found.state, found.said) == (State.FAIL, "not installed: no-such-package")


def test_torch_is_for_providers_and_workers_only(monkeypatch: pytest.MonkeyPatch) -> None:
    assert machine.torch().state is State.OK

    def none(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(machine, "version", none)
    assert machine.torch().state is State.WARN


@pytest.mark.parametrize(
    ("said", "state", "words"),
    [
        ('openjdk version "17.0.11" 2024-04-16', State.OK, "17 at "),
        ('openjdk version "21" 2023-09-19', State.OK, "21 at "),
        ('java version "1.8.0_392"', State.WARN, "8 at "),
        ('openjdk version "11.0.2"', State.WARN, "11 at "),
        ("no idea", State.WARN, "no version at "),
    ],
)
def test_java_of_another_version_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, state: State, words: str
) -> None:
    java = script(tmp_path / "bin" / "java", f"echo '{said}' >&2")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    found = machine.java_found()
    assert found.state is state
    assert found.said.startswith(f"{words}{java}")


def test_machine_without_java_and_maven_is_warned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    for found in (machine.java_found(), machine.jars(tmp_path)):
        assert (found.state, bool(found.hint)) == (State.WARN, True)
        assert "only a local broker needs it" in found.said
    script(tmp_path / "mvn", "exit 0")
    assert machine.jars(tmp_path).said == f"{tmp_path}/mvn; it will fetch Apache Kafka once"
    distribution._folder(tmp_path, distribution._recorded()).mkdir()
    assert machine.jars(tmp_path).said == f"in {tmp_path}"


# findings


def test_exit_code_is_that_of_the_gravest_failure() -> None:
    def one(kind: type[ChironError]) -> Finding:
        parts = ((),) if kind is EvidenceRefused else ()
        return failed("x", kind("it failed", *parts))

    assert exit_code([ok("x", ""), warn("x", "")]) == 0
    assert exit_code([]) == 0
    order: list[type[ChironError]] = [TamperDetected, EvidenceRefused, JobRefused]
    order += [BrokerUnreachable, UsageRefused]
    for number, kind in enumerate(order):
        assert exit_code(map(one, reversed(order[number:]))) == kind.exit_code
    assert exit_code([one(ChironError), ok("x", "")]) == 1
    assert exit_code([one(BugFound)]) == 70


def test_finding_is_one_line_with_what_to_do() -> None:
    finding = failed("identity", UsageRefused("others may read it", hint="run: chmod 600 me"))
    assert str(finding) == "fail identity     others may read it; run: chmod 600 me"


# keys and job files


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> JobDirectory:
    return create(tmp_path_factory.mktemp("j") / "job", jobs.terms())


def test_keys_of_members_are_told_and_others_fail(directory: JobDirectory, tmp_path: Path) -> None:
    stranger, open_to_all = tmp_path / "eve.identity", tmp_path / "carol.identity"
    Identity.generate("eve").save(stranger)
    shutil.copy(directory.identity("carol"), open_to_all)
    open_to_all.chmod(0o644)
    files = (directory.identity("alice"), stranger, open_to_all, tmp_path / "none")
    good, strange, shown, none = identities(directory.job(), files)
    assert good.said == f"{directory.identity('alice')} is the owner alice"
    assert (strange.state, strange.code, strange.exit_code) == (State.FAIL, "ROSTER", 8)
    assert strange.hint.endswith(f"chiron key show {stranger}")
    assert (shown.state, shown.code) == (State.FAIL, "IDENTITY_PERMISSIONS")
    assert (none.state, none.exit_code) == (State.FAIL, 2)


def test_job_that_is_simulated_is_a_warning(directory: JobDirectory) -> None:
    found = job_file(directory.job())
    assert (found.state, found.hint) == (State.WARN, "nothing in it is confidential")


# a job that runs in memory


@pytest.fixture(scope="module")
def running() -> Iterator[LocalJob]:
    with LocalJob(jobs.terms(name="doctor"), workers={"coordinator": 1, "trainer": 1}) as job:
        job.wait(lambda status: status.state == "waiting")
        yield job


def looked(job: LocalJob, later: float = 0.0) -> dict[str, Finding]:
    observer = Observer(job.job, broker=job.broker)
    found = Cluster(job.job, observer, lambda: time.time() + later).findings()
    return {one.name: one for one in found}


def test_job_that_runs_is_well(running: LocalJob) -> None:
    jobs.until(running, lambda: looked(running)["clock"].state is State.OK)
    found = looked(running)
    assert list(found) == ["topics", "coordinator", "clock"]
    assert {one.state for one in found.values()} == {State.OK}
    assert "epoch 1, evidence is good (SIMULATED)" in found["coordinator"].said


@pytest.mark.parametrize(
    ("later", "state", "words"),
    [
        (-600, State.FAIL, "behind the workers'"),
        (-20, State.WARN, "behind the workers'"),
        (600, State.WARN, "no worker runs, or a clock is wrong"),
    ],
)
def test_clock_that_is_off_is_told(
    running: LocalJob, later: float, state: State, words: str
) -> None:
    jobs.until(running, lambda: looked(running)["clock"].state is State.OK)
    found = looked(running, later)["clock"]
    assert (found.state, words in found.said) == (state, True)


@pytest.mark.parametrize("later", [-600, 30 * 86_400], ids=["not yet", "no more"])
def test_evidence_that_is_not_good_now_fails_with_its_code(running: LocalJob, later: float) -> None:
    found = looked(running, later)["coordinator"]
    assert (found.state, found.exit_code, found.code) == (State.FAIL, 6, "EVIDENCE")


def test_topic_that_drifted_fails_and_the_rest_is_looked_at(running: LocalJob) -> None:
    topic, administration = "chiron.doctor.journal", running.broker.administration()
    before = administration.describe([topic])[topic].settings
    administration.configure(topic, {"retention.ms": "1000"})
    try:
        found = looked(running)
    finally:
        administration.configure(topic, dict(before))
    assert (found["topics"].state, found["topics"].exit_code) == (State.FAIL, 1)
    assert "1 differ, first chiron.doctor.journal: retention.ms" in found["topics"].said
    assert found["topics"].hint == "run: chiron topics plan --job doctor"
    assert found["coordinator"].state is State.OK


def test_job_that_never_was_up_is_a_warning(directory: JobDirectory) -> None:
    found = looked(LocalJob(directory))
    assert list(found) == ["topics"]
    assert (found["topics"].state, found["topics"].hint) == (State.WARN, "run: chiron up")


# transcripts


def test_doctor_of_a_job_whose_broker_is_nowhere_ends_with_4(
    directory: JobDirectory, tmp_path: Path
) -> None:
    nowhere = ("--bootstrap-servers", "127.0.0.1:1")
    shown = typed("doctor", directory.path, *nowhere, "--json")
    found = {fields["name"]: fields for kind, fields in data_of(shown) if kind == "check"}
    assert shown.returncode == 4
    assert (found["broker"]["state"], found["broker"]["code"]) == ("fail", "BROKER_UNREACHABLE")
    assert "chiron config" in found["broker"]["hint"]
    identities = [fields for _, fields in data_of(shown) if fields["name"] == "identity"]
    assert len(identities) == len(directory.job().policy.roster)
    assert shown.stderr.endswith(" 1 fail\n")


def test_doctor_of_a_job_file_that_was_altered_ends_with_its_code(
    directory: JobDirectory, tmp_path: Path
) -> None:
    table = json.loads(directory.job_file.read_text())
    file = tmp_path / "job.json"
    file.write_text(json.dumps({**table, "name": "other"}))
    with pytest.raises(JobRefused):
        loads(file.read_text())
    shown = typed("doctor", file)
    assert shown.returncode == 8
    last = shown.stdout.splitlines()[-1]
    assert last.startswith("fail job file     a job file does not read")


def test_doctor_without_a_job_looks_at_the_machine_only() -> None:
    shown = typed("doctor", "--json")
    names = [fields["name"] for _, fields in data_of(shown)]
    assert shown.returncode == 0
    assert names[:3] == ["python", "packages", "torch"]
    assert not {"broker", "job file"} & set(names)


def test_doctor_asks_a_broker_that_was_named() -> None:
    shown = typed("doctor", "--bootstrap-servers", "127.0.0.1:1")
    assert shown.returncode == 4
    assert shown.stdout.splitlines()[-1].startswith("fail broker")
