"""Cores that are not the ones that the policy names: a comment changed in one of their files."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from chiron_stream import DataOwner
from chiron_stream.broker.local import LocalKafka
from chiron_stream.clients.observer import Observer
from chiron_stream.errors import EvidenceRefused
from chiron_stream.local.directory import JobDirectory
from chiron_stream.local.running import RunningJob
from chiron_stream.simulation.files import core_measurement
from tests.jobs import jobs
from tests.jobs.command import Up, chiron, clean_environment, error_of
from tests.jobs.conftest import NewDirectory
from tests.kafka.processes import eventually

pytestmark = pytest.mark.kafka

ROOT = Path(__file__).parents[2]
CHANGED = "enclave_workers/core/boot.py"
ENTRY = "from chiron_stream.cli.main import entry; entry()"


@pytest.fixture(scope="module")
def other_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the installed code in which one byte of a comment differs."""
    top = tmp_path_factory.mktemp("tree")
    for package in ("chiron_stream", "enclave_workers"):
        shutil.copytree(ROOT / package, top / package, ignore=shutil.ignore_patterns("__pycache__"))
    path = top / CHANGED
    path.write_text(path.read_text().replace('"""A boot:', '"""a boot:', 1))
    assert path.read_text() != (ROOT / CHANGED).read_text()
    return top


def measurement(tree: Path, role: str) -> str:
    packages = {name: tree / name for name in ("chiron_stream", "enclave_workers")}
    return core_measurement(role, packages).hex()[:16]


def courier(tree: Path) -> tuple[str, ...]:
    """Return how a hostile operator starts workers: this courier, the other tree's core."""
    core = (
        "import os, runpy, sys; "
        f"os.chdir({str(tree)!r}); sys.path[0] = {str(tree)!r}; "
        "runpy.run_module('enclave_workers.core', run_name='__main__', alter_sys=True)"
    )
    program = (
        "import sys; from enclave_workers.courier.__main__ import main; "
        f"sys.exit(main(sys.argv[1:], core=(sys.executable, '-c', {core!r})))"
    )
    return ("-c", program)


@pytest.mark.parametrize("role", ["coordinator", "trainer", "predictor"])
def test_worker_of_other_code_ends_with_6_and_says_which_it_is(
    kafka: LocalKafka, new_directory: NewDirectory, other_tree: Path, role: str
) -> None:
    shown = subprocess.run(
        [sys.executable, "-c", ENTRY, "worker", role, "--job", new_directory().job_file],
        cwd=other_tree,
        env=clean_environment(keep_path=False),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert shown.returncode == 6
    assert reason(other_tree, role) in shown.stderr
    assert "[EVIDENCE]" in shown.stderr


def test_up_of_another_version_says_so_and_starts_nothing(
    kafka: LocalKafka, new_directory: NewDirectory, other_tree: Path
) -> None:
    servers = ("--bootstrap-servers", kafka.bootstrap_servers)
    command = (sys.executable, "-c", ENTRY)
    directory = new_directory()
    with Up(directory, *servers, command=command, cwd=other_tree) as up:
        eventually(lambda: up.ended, "chiron up has ended", 60)
        last = json.loads(up.shown.splitlines()[-1])["data"]
    assert (up.process.returncode, last["code"]) == (2, "OTHER_CODE")
    assert not list(directory.run.glob("*.log"))


def test_coordinator_welcomes_no_worker_of_other_code_and_says_so_on_rejected(
    kafka: LocalKafka, new_directory: NewDirectory, other_tree: Path
) -> None:
    directory = new_directory()
    servers = kafka.bootstrap_servers
    cores = {"coordinator": 1}
    with RunningJob(directory, bootstrap_servers=servers, workers=cores) as honest:
        jobs.reaches(directory, "waiting")
        hostile = RunningJob(directory, bootstrap_servers=servers, courier=courier(other_tree))
        trainer = hostile.start_worker("trainer", 0)
        try:
            eventually(lambda: bool(jobs.rejected(honest.job)), "the join is rejected")
            (join,) = jobs.rejected(honest.job)
            assert (join.topic, join.offset, join.code) == ("workers", 0, "EVIDENCE")
            jobs.reaches(directory, "joining", "trainer-0")
            assert jobs.progress(directory)["trainers"] == 0
            assert jobs.records(honest.job, "tasks") == []
        finally:
            trainer.stop()


@pytest.fixture(scope="module")
def hostile(
    kafka: LocalKafka, new_directory: NewDirectory, other_tree: Path
) -> Iterator[JobDirectory]:
    """A job whose coordinator is of the other tree."""
    directory = new_directory()
    with RunningJob(
        directory,
        bootstrap_servers=kafka.bootstrap_servers,
        workers={"coordinator": 1},
        courier=courier(other_tree),
    ):
        jobs.reaches(directory, "waiting")
        yield directory


def reason(tree: Path, role: str = "coordinator") -> str:
    return f"measurement: expected {measurement(ROOT, role)}…, got {measurement(tree, role)}…"


def test_owner_seals_nothing_to_a_coordinator_of_other_code(
    hostile: JobDirectory, other_tree: Path
) -> None:
    owner = DataOwner(hostile.job(), hostile.identity("alice"), evidence=jobs.SIMULATED)
    with owner, pytest.raises(EvidenceRefused) as refused:
        owner.publish(jobs.rows("alice"), dataset=jobs.DATA_SET)
    assert refused.value.reasons == (reason(other_tree),)
    assert jobs.records(hostile.job(), "control") == []


def test_observer_refuses_the_coordinator_too(hostile: JobDirectory) -> None:
    with Observer(hostile.job()) as observer, pytest.raises(EvidenceRefused):
        observer.look()


@pytest.mark.parametrize(
    "words",
    [
        ("status", "{job}", "--json"),
        (
            *("predict", *(f"{name}=0" for name in jobs.NUMBERS)),
            *("--job", "{job}", "--insecure-simulation", "--json"),
        ),
    ],
    ids=lambda words: words[0],
)
def test_commands_end_with_6_and_name_every_reason(
    hostile: JobDirectory, other_tree: Path, words: tuple[str, ...]
) -> None:
    shown = chiron(*(word.format(job=hostile.path) for word in words))
    assert shown.returncode == 6
    error = error_of(shown)
    assert error["code"] == "EVIDENCE"
    assert error["got"] == reason(other_tree)
