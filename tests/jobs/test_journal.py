"""A journal that the operator has altered: the coordinator ends with 7 and says where."""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from kafka import KafkaAdminClient

from chiron_stream.broker.catalogue import load_catalogue
from chiron_stream.broker.drift import apply
from chiron_stream.broker.kafka import KafkaBroker
from chiron_stream.broker.local import LocalKafka
from chiron_stream.clients.observer import Observer
from chiron_stream.local.directory import JobDirectory
from chiron_stream.local.running import RunningJob
from tests.jobs import jobs, processes
from tests.jobs.command import CHIRON, Up, chiron, clean_environment
from tests.jobs.conftest import NewDirectory
from tests.jobs.jobs import Parties
from tests.kafka.processes import eventually

pytestmark = pytest.mark.kafka

Journal = list[bytes]


@dataclass(frozen=True)
class Stopped:
    """A job without a coordinator, its quoting service still there, and its whole journal."""

    directory: JobDirectory
    journal: Journal

    def rewrite(self, journal: Journal) -> None:
        """Put another journal in place of the topic's, as an operator can."""
        job = self.directory.job()
        name = jobs.place(job, "journal").topic
        admin = KafkaAdminClient(bootstrap_servers=job.bootstrap_servers)
        try:
            admin.delete_topics([name])
        finally:
            admin.close()
        with KafkaBroker(job.bootstrap_servers) as broker:
            administration = broker.administration()
            eventually(lambda: not administration.describe([name]), f"{name} is deleted")
            apply(load_catalogue(), job.policy.name, administration)
        jobs.append(job, "journal", *journal)

    @property
    def worker(self) -> tuple[str, ...]:
        """The command of a coordinator."""
        file, quoting = self.directory.job_file, self.directory.quoting
        return ("worker", "coordinator", "--job", str(file), "--quoting-service", str(quoting))


@pytest.fixture(scope="module")
def stopped(kafka: LocalKafka, new_directory: NewDirectory) -> Iterator[Stopped]:
    directory = new_directory()
    with RunningJob(
        directory, bootstrap_servers=kafka.bootstrap_servers, workers={"coordinator": 1}
    ) as running:
        with Parties(directory) as parties:
            parties.publish("alice")
        running.services["coordinator-0"].stop()
        journal = [record.value for record in jobs.records(running.job, "journal")]
        assert len(journal) > 6
        yield Stopped(directory, journal)


def flipped(record: bytes, at: int) -> bytes:
    changed = bytearray(record)
    changed[at] ^= 1
    return bytes(changed)


def test_untouched_copy_of_a_journal_is_taken_up_again(stopped: Stopped) -> None:
    """The control: what the other tests do, without the damage."""
    stopped.rewrite(stopped.journal)
    job = stopped.directory.job()
    before = len(jobs.records(job, "authority"))
    environ = clean_environment()
    with subprocess.Popen([CHIRON, *stopped.worker], env=environ, stderr=subprocess.PIPE) as worker:
        eventually(lambda: len(jobs.records(job, "authority")) > before, "an activation")
        with Observer(job) as observer:
            assert observer.look().epoch == 2
        worker.send_signal(signal.SIGTERM)
        worker.communicate(timeout=30)
    assert worker.returncode == 0


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda all_: [*all_, b"not of this journal"], "at index {end} [JOURNAL_CHAIN]"),
        (lambda all_: [*all_, all_[-1]], "at index {end} "),
        (lambda all_: [*all_[:3], flipped(all_[3], -1), *all_[4:]], "at index 3 [JOURNAL_SEAL]"),
        (lambda all_: [*all_[:3], flipped(all_[3], 20), *all_[4:]], "at index 3 "),
        (lambda all_: [*all_[:3], *all_[4:]], "at index 3 (expected index 3 "),
        (lambda all_: [flipped(all_[0], 40), *all_[1:]], "at index 0 "),
        (lambda all_: all_[1:], "at index 0 [JOURNAL_GENESIS]"),
        (lambda _all: [], "[ROLLED_BACK]"),
    ],
    ids=["appended", "replayed", "flipped", "header", "dropped", "policy", "headless", "emptied"],
)
def test_coordinator_ends_with_7_and_names_the_index(
    stopped: Stopped, damage: Callable[[Journal], Journal], words: str
) -> None:
    stopped.rewrite(damage(stopped.journal))
    authority = len(jobs.records(stopped.directory.job(), "authority"))
    shown = chiron(*stopped.worker)
    assert shown.returncode == 7, shown.stderr
    last = shown.stderr.splitlines()[-1]
    assert last.startswith("chiron coordinator: error: ")
    assert words.format(end=len(stopped.journal)) in last
    assert len(jobs.records(stopped.directory.job(), "authority")) == authority


def test_up_names_the_worker_that_cannot_be_started_again_and_its_exit_code(
    stopped: Stopped, kafka: LocalKafka, tmp_path_factory: pytest.TempPathFactory
) -> None:
    stopped.rewrite([*stopped.journal, b"not of this journal"])
    path = copied(stopped.directory, tmp_path_factory.mktemp("j") / "job")
    with Up(JobDirectory(path), "--bootstrap-servers", kafka.bootstrap_servers) as up:
        started = up.descendants
        known = []

        def ended() -> bool:
            known.extend(started() if not up.ended else [])
            return up.ended

        eventually(ended, "chiron up has ended", 60)
        last = up.shown.splitlines()[-1]
    assert up.process.returncode == 1
    assert '"code": "WORKER_ENDED"' in last
    assert "coordinator-0 ended for a reason that starting again cannot mend" in last
    assert '"got": "exit code 7"' in last
    assert f"at index {len(stopped.journal)} [JOURNAL_CHAIN]" in jobs.log(JobDirectory(path))
    processes.all_gone(list(set(known)))


def copied(directory: JobDirectory, path: Path) -> Path:
    """Copy a job with its keys, but not what runs in it: two services need two sockets."""
    shutil.copytree(directory.path, path, ignore=shutil.ignore_patterns("run", "*.sock*"))
    return path
