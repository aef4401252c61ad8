"""However ``chiron up`` ends, nothing that it started outlives it."""

from __future__ import annotations

import os
import signal
import time
from contextlib import ExitStack

import psutil
import pytest

from chiron_stream.broker.local import LocalKafka
from chiron_stream.local.directory import JobDirectory
from enclave_workers.core.coordinator.presence import LOST_AFTER
from tests.jobs import jobs, processes
from tests.jobs.command import Up, chiron
from tests.jobs.conftest import NewDirectory
from tests.kafka.processes import eventually

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]

LEFT_SECONDS = 30.0


def names(found: list[psutil.Process]) -> set[str]:
    """Return the modules that these processes run."""
    lines = [one.cmdline() for one in found if not processes.is_gone(one)]
    return {words[words.index("-m") + 1] for words in lines if "-m" in words}


WORKERS = {"enclave_workers.courier", "enclave_workers.core", "chiron_stream.simulation"}


def all_started(up: Up) -> list[psutil.Process]:
    """Wait until each kind of process runs; return all of them."""
    eventually(lambda: names(up.descendants()) >= WORKERS, "workers have cores", 60)
    return up.descendants()


def test_down_stops_a_job_and_waits_until_nothing_of_it_is_left(
    kafka: LocalKafka, new_directory: NewDirectory
) -> None:
    directory = new_directory()
    assert "no job is running" in chiron("down", directory.path).stderr
    with Up(directory, "--bootstrap-servers", kafka.bootstrap_servers) as up:
        assert up.ready() == {
            "job": directory.job().policy.name,
            "bootstrap_servers": kafka.bootstrap_servers,
            "workers": ["coordinator-0", "trainer-0", "predictor-0"],
            "simulated": True,
        }
        assert f"from elsewhere: chiron down {directory.path}\n" in up.shown
        jobs.reaches(directory, "waiting")
        started = all_started(up)
        stopped = chiron("down", directory.path)
        assert (stopped.returncode, stopped.stderr) == (0, f"stopped the job {directory.path}\n")
        assert all(map(processes.is_gone, started))
        assert up.process.wait(30) == 0
    assert list(directory.run.glob("*.json")) == []
    again = chiron("down", directory.path)
    assert (again.returncode, again.stderr) == (0, "no job is running\n")


def seconds_without(directory: JobDirectory, trainer: str, ending: int) -> float:
    """End a trainer; return the seconds until the job has gone on for some rounds."""

    def rounds() -> int:
        return int(jobs.progress(directory, "coordinator-0")["round"])

    began = time.monotonic()
    os.kill(jobs.progress(directory, trainer)["pid"], ending)
    ended = rounds()
    eventually(lambda: rounds() > ended + 2, "the job goes on", 30)
    return time.monotonic() - began


def test_worker_that_is_told_to_end_leaves_its_work_to_another_at_once(
    kafka: LocalKafka, new_directory: NewDirectory
) -> None:
    """Both trainers have a slot in each round, so that a round needs whoever ends."""
    schedule = {"slots": 2, "shards_per_slot": 1, "passes": 5000}
    directory = new_directory(schedule=schedule)
    servers = ("--bootstrap-servers", kafka.bootstrap_servers)
    with Up(directory, *servers, "--trainers", "2") as up, ExitStack() as stack:
        assert "trainer-1" in up.ready()["workers"]
        for trainer in ("trainer-0", "trainer-1"):
            jobs.reaches(directory, "ready", trainer)
        parties = stack.enter_context(jobs.Parties(directory))
        parties.provider().publish(jobs.export())
        for owner in jobs.OWNERS:
            parties.publish(owner)
        jobs.reaches(directory, "training")
        told = seconds_without(directory, "trainer-0", signal.SIGTERM)
        killed = seconds_without(directory, "trainer-1", signal.SIGKILL)
    assert told < LOST_AFTER - 1 < killed, "without a word it takes a time-out"


def test_interrupt_while_the_workers_start_stops_everything(
    kafka: LocalKafka, new_directory: NewDirectory
) -> None:
    with Up(new_directory(), "--bootstrap-servers", kafka.bootstrap_servers) as up:
        started = all_started(up)
        assert up.send(signal.SIGINT) == 130
        assert up.shown.splitlines()[-1] == "chiron: interrupted"
        assert all(map(processes.is_gone, started))


def test_kill_of_up_leaves_no_worker_no_quoting_service_and_no_broker(
    new_directory: NewDirectory,
) -> None:
    directory = new_directory()
    with Up(directory) as up:
        up.ready()
        started = all_started(up)
        assert any("java" in one.name() for one in started)
        jobs.reaches(directory, "waiting")
        started = list({*started, *up.descendants()})
        up.send(signal.SIGKILL)
        processes.all_gone(started, LEFT_SECONDS)
