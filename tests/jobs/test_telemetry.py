"""A running job watched from outside: metrics, health, ``chiron status --watch``; and one stall."""

from __future__ import annotations

import json
import logging
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from chiron_stream.broker.catalogue import load_catalogue
from chiron_stream.broker.local import LocalKafka
from chiron_stream.local.directory import JobDirectory
from chiron_stream.local.running import RunningJob
from chiron_stream.local.workers import sentence, workers
from chiron_stream.recipe import Recipe
from chiron_stream.telemetry import ALLOWED, OTHER, REASONS, RED, ROLES, STATES, WAITING
from tests.jobs import jobs, scraping, stalling_courier
from tests.jobs.command import CHIRON, chiron, clean_environment, data_of
from tests.jobs.conftest import Finished, NewDirectory
from tests.jobs.jobs import Parties
from tests.kafka.processes import eventually

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]

WORKERS = [f"{role}-0" for role in ROLES]
LONG = {"slots": 1, "shards_per_slot": 1, "passes": 5000}


@pytest.fixture(scope="module")
def training(
    kafka: LocalKafka, recipe: Recipe, new_directory: NewDirectory
) -> Iterator[JobDirectory]:
    """A job that trains for longer than these tests take."""
    directory = new_directory(schedule=LONG)
    with (
        RunningJob(directory, bootstrap_servers=kafka.bootstrap_servers),
        Parties(directory) as parties,
    ):
        parties.provider().publish(recipe)
        for owner in jobs.OWNERS:
            parties.publish(owner)
        jobs.reaches(directory, "training")
        yield directory


@pytest.mark.parametrize(
    ("worker", "metric"),
    [
        ("coordinator-0", "chiron_job_round"),
        ("coordinator-0", "chiron_job_version"),
        ("coordinator-0", "chiron_job_release"),
        ("trainer-0", "chiron_worker_tasks_total"),
        ("predictor-0", "chiron_worker_serves"),
        *((worker, "chiron_worker_last_progress_timestamp_seconds") for worker in WORKERS),
    ],
)
def test_counts_of_each_worker_rise(training: JobDirectory, worker: str, metric: str) -> None:
    before = scraping.value(training, worker, metric)
    eventually(lambda: scraping.value(training, worker, metric) > before, f"{metric} rises")


def test_rounds_a_second_are_those_that_can_be_counted(training: JobDirectory) -> None:
    name = "chiron_job_rounds_per_second"
    eventually(lambda: scraping.value(training, "coordinator-0", name) > 0, "a rate is known")


def test_lag_is_of_the_topics_that_a_worker_follows(training: JobDirectory) -> None:
    def topics(worker: str) -> set[str]:
        found = scraping.samples(training, worker)
        return {one.labels["topic"] for one in found if one.name == "chiron_worker_lag"}

    eventually(lambda: bool(topics("coordinator-0")), "the broker was asked")
    assert topics("coordinator-0") == {"control", "presence", "updates", "workers"}
    eventually(lambda: topics("trainer-0") == {"authority", "tasks"}, "of the trainer too")


@pytest.mark.parametrize("worker", WORKERS)
def test_every_worker_of_a_running_job_is_well(training: JobDirectory, worker: str) -> None:
    status, body = scraping.health(training, worker)
    assert (status, body["state"], body["reason"]) == (200, "ok", "")
    assert body["role"] == worker.partition("-")[0]
    assert scraping.value(training, worker, "chiron_worker_healthy") == 1


@pytest.mark.parametrize("worker", WORKERS)
def test_metrics_show_nothing_but_what_the_allow_list_names(
    training: JobDirectory, worker: str
) -> None:
    """Every name and every label; and no text anywhere that is not a word of a closed list."""
    role = worker.partition("-")[0]
    allowed = {one.metric for one in ALLOWED if one.metric and role in one.roles}
    found = scraping.samples(training, worker)
    assert {one.name for one in found} <= {*allowed, "chiron_worker_state"}
    assert allowed - {one.name for one in found} <= {"chiron_worker_lag"}
    words = {
        "role": {role},
        "state": {*STATES},
        "waiting_for": {*WAITING},
        "reason": {*REASONS},
        "topic": set(load_catalogue().topics),
    }
    for one in found:
        assert OTHER not in one.labels.values()
        assert all(text in words[label] for label, text in one.labels.items()), one


@pytest.mark.parametrize("worker", WORKERS)
def test_nothing_of_a_job_but_counts_is_in_what_a_worker_shows(
    training: JobDirectory, worker: str
) -> None:
    """Names of parties, data sets and columns, and how many rows there are."""
    job = training.job()
    names = {job.policy.name, jobs.DATA_SET, *jobs.OWNERS, "bob", "carol", *jobs.NUMBERS}
    path = training.run / f"{worker}.json"
    shown = scraping.get(training, worker, "/metrics")[1] + path.read_text()
    shown += scraping.get(training, worker, "/healthz")[1]
    assert not [name for name in (*names, *jobs.CLASSES) if name in shown]
    numbers = {one.value for one in scraping.samples(training, worker)}
    assert not numbers & {jobs.ROWS * 2.0, jobs.ROWS_PER_SHARD * 1.0}


@pytest.mark.parametrize("path", ["/", "/metrics/", "/run/lock", "/../../etc/passwd"])
def test_workers_serve_nothing_else(training: JobDirectory, path: str) -> None:
    assert scraping.get(training, "trainer-0", path) == (404, "not found\n")


# chiron status


def test_status_of_a_running_job_shows_open_slots_and_lights(training: JobDirectory) -> None:
    shown = chiron("status", training.path)
    assert (shown.returncode, shown.stderr) == (0, "")
    coordinator, predictor, trainer = shown.stdout.splitlines()[-3:]
    assert coordinator.startswith("coordinator-0: green, training, ")
    assert "progress 0 s ago (process " in coordinator
    assert predictor.startswith("predictor-0: green, ready")
    assert trainer.startswith("trainer-0: green, ready")


def watching(directory: JobDirectory, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [CHIRON, "status", str(directory.path), "--watch", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=clean_environment(),
    )


def test_watch_says_what_is_new_until_it_is_interrupted(training: JobDirectory) -> None:
    with watching(training) as process:
        assert process.stdout is not None
        rounds: list[int] = []
        while len(rounds) < 3:
            line = process.stdout.readline()
            if line.startswith("epoch 1, round "):
                rounds.append(int(line.split()[3].rstrip(",")))
        process.send_signal(signal.SIGINT)
        rest, said = process.communicate(timeout=30)
    assert rounds == sorted(set(rounds)), "nothing is said twice"
    assert (process.returncode, said) == (130, "chiron: interrupted\n")
    assert "\x1b" not in rest
    assert " ago" not in rest, "an age is no news"


def test_watch_as_json_is_a_line_for_what_changed(training: JobDirectory) -> None:
    with watching(training, "--json") as process:
        assert process.stdout is not None
        found: list[tuple[str, dict[str, Any]]] = []
        while [kind for kind, _ in found].count("status") < 2:
            envelope = json.loads(process.stdout.readline())
            found.append((envelope["kind"], envelope["data"]))
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    assert found[0][0] == "status"
    workers = [fields for kind, fields in found if kind == "worker"]
    assert {one["name"] for one in workers} == set(WORKERS)
    assert {one["health"] for one in workers} == {"green"}
    assert all(isinstance(one["lag"], dict) for one in workers)


def test_watch_of_a_finished_job_says_so_and_ends(finished: Finished) -> None:
    shown = chiron("status", finished.directory.path, "--watch")
    assert (shown.returncode, shown.stderr) == (0, "")
    name = finished.directory.job().policy.name
    assert shown.stdout.splitlines() == [
        f"job {name}: SIMULATED, freshness: local",
        "epoch 1, round 8, version 8, release 8, finished",
        "shards: 8 accepted, 8 trained, 0 void, 0 parked",
        "rejected records: 0",
        "coordinator-0: green, finished",
        "predictor-0: green, ready, serves release 8",
        "trainer-0: green, ready",
    ]


def test_watch_waits_for_a_job_that_has_not_begun(
    new_directory: NewDirectory, kafka: LocalKafka
) -> None:
    directory = new_directory()
    with watching(directory, "--bootstrap-servers", kafka.bootstrap_servers) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(3)]
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    assert lines[1] == "epoch 0, no round yet\n"
    assert process.returncode == 130


# a worker that stands still


def here(directory: JobDirectory) -> list[dict[str, Any]]:
    """Return what ``chiron status`` knows of the workers."""
    return list(workers(directory.run))


def ended(records: list[logging.LogRecord], service: str) -> list[tuple[int, bool]]:
    """Return exit code of each end of a service, and whether it was started again."""
    fields = [vars(one)["chiron_fields"] for one in records if one.msg == "service.ended"]
    return [(one["exit_code"], one["restart"]) for one in fields if one["service"] == service]


@pytest.mark.faults
def test_trainer_that_stands_still_turns_red_ends_with_3_and_is_started_again(
    kafka: LocalKafka,
    recipe: Recipe,
    new_directory: NewDirectory,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Its heart beats all the while, and the others stay green; in the end the bits are right."""
    caplog.set_level(logging.INFO, "chiron_stream")
    directory = new_directory()
    courier = ("-m", stalling_courier.__name__)
    running = RunningJob(directory, bootstrap_servers=kafka.bootstrap_servers, courier=courier)
    with running, Parties(directory) as parties:
        jobs.reaches(directory, "ready", "trainer-0")
        assert scraping.health(directory, "trainer-0")[0] == 200
        first = jobs.progress(directory, "trainer-0")["pid"]
        parties.provider().publish(recipe)
        for owner in jobs.OWNERS:
            parties.publish(owner)
        eventually((directory.run / stalling_courier.MARKER).exists, "the trainer stands still")
        eventually(lambda: scraping.health(directory, "trainer-0")[0] == 503, "it is red")
        status, body = scraping.health(directory, "trainer-0")
        assert (status, body["state"], body["reason"]) == (503, "red", "no-progress")
        assert body["busy"]
        assert scraping.value(directory, "trainer-0", "chiron_worker_healthy") == 0
        assert scraping.health(directory, "coordinator-0")[0] == 200
        eventually(
            lambda: "trainer-0: red (no-progress), ready, busy" in map(sentence, here(directory)),
            "its status file says so too",
        )
        trainer = running.services["trainer-0"]
        eventually(lambda: trainer.starts > 1, "it is started again")
        assert ended(caplog.records, "trainer-0")[0] == (3, True)
        log = jobs.log(directory, "trainer-0")
        assert re.search(
            r"^chiron trainer: error: .*no-progress for \d+ s\) \[STALLED\]$", log, re.M
        )
        events = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
        (stalled,) = [one for one in events if one["event"] == "worker.stalled"]
        assert (stalled["role"], stalled["reason"]) == ("trainer", "no-progress")
        assert stalled["seconds"] >= 2 * stalling_courier.DEADLINE
        jobs.reaches(directory, "finished", seconds=90)
        assert jobs.progress(directory, "trainer-0")["pid"] != first
        assert running.services["coordinator-0"].starts == 1
        assert jobs.finished_right(directory)


def test_worker_whose_courier_stands_still_is_red_in_the_status(
    training: JobDirectory,
) -> None:
    """SIGSTOP: nothing of it says anything any more."""
    pid = jobs.progress(training, "predictor-0")["pid"]
    os.kill(pid, signal.SIGSTOP)
    try:

        def red() -> bool:
            shown = chiron("status", training.path, "--json")
            found = {one["name"]: one for kind, one in data_of(shown) if kind == "worker"}
            predictor = found["predictor-0"]
            is_red = (predictor["health"], predictor["reason"]) == (RED, "no-status")
            assert shown.returncode == (1 if is_red else 0)
            return is_red

        eventually(red, "the predictor is red", 60)
    finally:
        os.kill(pid, signal.SIGCONT)
    eventually(lambda: scraping.health(training, "predictor-0")[0] == 200, "it goes on")


def test_metrics_on_an_address_by_name_are_refused(training: JobDirectory) -> None:
    words = ("--job", str(training.job_file), "--metrics", "example.org:9200")
    shown = chiron("worker", "trainer", *words)
    assert shown.returncode == 2
    assert "where shall metrics be served?" in shown.stderr


def test_worker_with_metrics_on_a_port_that_is_taken_names_it(
    training: JobDirectory,
) -> None:
    taken = jobs.progress(training, "trainer-0")["metrics"]
    quoting = str(training.quoting)
    words = ("--job", str(training.job_file), "--quoting-service", quoting, "--metrics", taken)
    shown = chiron("worker", "trainer", *words)
    assert shown.returncode == 1
    assert f"port {taken.rpartition(':')[2]}" in shown.stderr
    assert "[PORT_TAKEN]" in shown.stderr
