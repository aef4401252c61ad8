"""Transcripts of the commands around a job: what is typed, printed, and the exit code."""

from __future__ import annotations

import json
import re
import shutil
import stat
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chiron_stream.broker.kafka import KafkaBroker
from chiron_stream.broker.local import LocalKafka
from chiron_stream.cli.main import NOUNS
from chiron_stream.local.directory import JobDirectory
from tests.jobs import jobs
from tests.jobs.command import chiron, data_of, error_of
from tests.jobs.conftest import Finished, NewDirectory

pytestmark = pytest.mark.kafka

SIMULATION = "--insecure-simulation"
ROW = tuple(f"{name}=1" for name in jobs.NUMBERS)


def test_help_lists_every_command() -> None:
    shown = chiron("--help")
    assert shown.returncode == 0
    listed = re.findall(r"^  (\w+) +\S", shown.stdout, re.MULTILINE)
    assert listed == list(NOUNS)
    assert {"init", "up", "down", "status", "publish", "predict", "job", "worker"} <= set(listed)


@pytest.mark.parametrize("noun", NOUNS)
def test_help_of_every_command_names_all_exit_codes(noun: str) -> None:
    shown = chiron(noun, "--help")
    assert shown.returncode == 0
    text = " ".join(shown.stdout.split())
    assert text.endswith(
        "exit codes: 0 ok, 1 failed, 2 usage, 3 time-out, 4 cannot connect, 5 not authorised, "
        "6 evidence, 7 integrity, 8 policy, 9 fenced, 70 bug, 130 interrupted"
    )


# init


def test_init_makes_the_example_job(tmp_path: Path) -> None:
    shown = chiron("init", "iris", cwd=tmp_path)
    path = tmp_path / "iris"
    assert (shown.returncode, shown.stdout) == (0, f"created the job iris in {path}\n")
    assert shown.stderr == (
        "its evidence is SIMULATED: nothing in it is confidential\n"
        "all of it in one process, without a broker: pytest iris/test_iris.py\n"
        "next: chiron up iris --insecure-simulation\n"
    )
    files = {"terms.toml", "iris.csv", "recipe.py", "test_iris.py", "job.json", "keys", "quoting"}
    assert files == {x.name for x in path.iterdir()}
    keys = {one.name: stat.S_IMODE(one.stat().st_mode) for one in (path / "keys").iterdir()}
    assert keys == {f"{name}.identity": 0o600 for name in ("alice", "bob", "carol", "dan")}


def test_init_takes_terms_of_ones_own(finished: Finished) -> None:
    directory = finished.directory
    name = directory.job().policy.name
    assert finished.shown["init"].startswith(f"created the job {name} in {directory.path}\n")
    copy = (directory.path / "terms.toml").read_text()
    assert copy == directory.path.with_name("terms.toml").read_text()
    assert not (directory.path / "recipe.py").exists()


def test_init_refuses_a_directory_that_is_not_empty(tmp_path: Path) -> None:
    path = tmp_path / "job"
    path.mkdir()
    (path / "notes.txt").write_text("mine")
    shown = chiron("init", path)
    assert (shown.returncode, shown.stdout) == (2, "")
    assert shown.stderr == (
        f"chiron: error: {path} is not empty [USAGE]\n"
        "chiron: expected: a new directory\n"
        "chiron: hint: choose another name\n"
    )
    assert [one.name for one in path.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize(
    ("text", "exit_code", "words"),
    [
        (None, 2, "cannot read"),
        ("name = ", 2, "the terms do not read"),
        ('name = "x"', 8, "missing: owners, provider, clients, columns"),
        (jobs.written({"name": "x", **jobs.TERMS, "pasword": "y"}), 8, "unknown: pasword"),
        (jobs.written({"name": "X y", **jobs.TERMS}), 8, "name"),
    ],
    ids=["none", "no TOML", "incomplete", "misspelt", "name"],
)
def test_init_refuses_terms_that_do_not_read_and_makes_nothing(
    tmp_path: Path, text: str | None, exit_code: int, words: str
) -> None:
    file = tmp_path / "terms.toml"
    if text is not None:
        file.write_text(text)
    shown = chiron("init", tmp_path / "job", "--terms", file)
    assert (shown.returncode, shown.stdout) == (exit_code, "")
    assert words in shown.stderr
    assert not (tmp_path / "job" / "job.json").exists()


# job


def test_job_show_prints_the_terms_and_says_simulated_first_and_last(finished: Finished) -> None:
    shown = chiron("job", "show", finished.directory.job_file)
    assert (shown.returncode, shown.stderr) == (0, "")
    lines = shown.stdout.splitlines()
    assert lines[0] == lines[-1]
    assert lines[0].startswith("*** SIMULATED: no hardware protects anything here")
    assert lines[1] == f"job {finished.directory.job().policy.name}, policy version 1"
    for line in ("  data set parcels of alice", "  2 passes, closed", "  width: float32 -4 to 4"):
        assert any(one.startswith(line) for one in lines), line


def test_job_show_refuses_a_policy_that_was_altered(finished: Finished, tmp_path: Path) -> None:
    table = json.loads(finished.directory.job_file.read_text())
    policy = table["policy"]
    table["policy"] = policy[:-8] + ("A" if policy[-8] != "A" else "B") + policy[-7:]
    altered = tmp_path / "job.json"
    altered.write_text(json.dumps(table))
    shown = chiron("job", "show", altered)
    assert shown.returncode in (7, 8)
    assert shown.stdout == ""
    assert chiron("job", "show", tmp_path / "none.json").returncode == 2


# up, status


def test_up_without_the_word_for_simulation_is_refused(new_directory: NewDirectory) -> None:
    directory = new_directory()
    shown = chiron("up", directory.path, "--json")
    assert (shown.returncode, error_of(shown)["code"]) == (8, "SIMULATION")
    assert not directory.run.exists()


def test_up_of_a_job_that_is_up_is_refused(finished: Finished) -> None:
    shown = chiron("up", finished.directory.path, SIMULATION, "--json")
    assert (shown.returncode, error_of(shown)["code"]) == (4, "ALREADY_RUNNING")


def test_status_of_a_job_that_never_ran_says_so(
    new_directory: NewDirectory, kafka: LocalKafka
) -> None:
    directory = new_directory()
    shown = chiron("status", directory.path, "--bootstrap-servers", kafka.bootstrap_servers)
    assert (shown.returncode, shown.stderr) == (1, "")
    assert shown.stdout == (
        f"job {directory.job().policy.name}: SIMULATED, freshness: local\n"
        "epoch 0, no round yet\n"
        "rejected records: 0\n"
    )


def test_status_of_a_finished_job(finished: Finished) -> None:
    shown = chiron("status", finished.directory.path)
    name = finished.directory.job().policy.name
    assert (shown.returncode, shown.stderr) == (0, "")
    *lines, coordinator, predictor, trainer = shown.stdout.splitlines()
    assert lines == [
        f"job {name}: SIMULATED, freshness: local",
        "epoch 1, round 8, version 8, release 8, finished",
        "shards: 8 accepted, 8 trained, 0 void, 0 parked",
        "rejected records: 0",
    ]
    end = r", progress \d+ s ago \(process \d+\)"
    rate = r"(, \d\.\d rounds a second)?"
    assert re.fullmatch(rf"coordinator-0: green, finished{rate}{end}", coordinator)
    assert re.fullmatch(rf"predictor-0: green, ready, serves release 8, \d+ tasks{end}", predictor)
    assert re.fullmatch(rf"trainer-0: green, ready, 8 tasks{end}", trainer)


def test_status_as_json_is_an_envelope_for_the_job_and_for_each_worker(
    finished: Finished,
) -> None:
    found = data_of(chiron("status", finished.directory.path, "--json"))
    assert [kind for kind, _ in found] == ["status", "worker", "worker", "worker"]
    status = found[0][1]
    assert (status["simulated"], status["freshness"], status["finished"]) == (True, "local", True)
    assert [fields["name"] for _, fields in found[1:]] == [
        "coordinator-0",
        "predictor-0",
        "trainer-0",
    ]


def test_doctor_finds_a_job_that_is_up_well(finished: Finished) -> None:
    shown = chiron("doctor", finished.directory.path)
    lines = shown.stdout.splitlines()
    assert shown.returncode == 0, shown.stdout
    found = {line[5:18].strip(): line[:5].strip() for line in lines}
    asked = ("identity", "broker", "topics", "coordinator", "clock")
    assert {name: found[name] for name in asked} == dict.fromkeys(asked, "ok")
    assert found["job file"] == "warn", "it is SIMULATED"
    assert shown.stderr.startswith(f"{len(lines)} checks: ")


def test_recipe_status_says_how_far_it_came_and_that_no_reports_are_granted(
    finished: Finished,
) -> None:
    name = finished.directory.job().policy.name
    shown = chiron("recipe", "status", "--job", finished.directory.path)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert shown.stdout == (
        f"SIMULATED job {name}: imported, version 8, release 8, finished; "
        "0 bits were told to the provider\n"
    )
    words = ("--job", finished.directory.path, "--progress", SIMULATION, "--json")
    refused = chiron("recipe", "status", *words)
    assert (refused.returncode, error_of(refused)["code"]) == (8, "NOT_GRANTED")


def test_logs_of_a_job_that_is_up_are_events_of_all_its_processes(finished: Finished) -> None:
    found = data_of(chiron("logs", finished.directory.path, "--lines", "10000", "--json"))
    assert {kind for kind, _ in found} == {"log"}
    names = {fields["name"] for _, fields in found if fields.get("event")}
    assert names == {"coordinator-0", "predictor-0", "trainer-0"}
    times = [fields["time"] for _, fields in found if "time" in fields]
    assert times == sorted(times)
    one = chiron("logs", finished.directory.path, "--worker", "trainer-0")
    assert re.search(r"^\d\d:\d\d:\d\d trainer-0: INFO worker\.progress ", one.stdout, re.MULTILINE)


def test_command_in_a_directory_without_a_job_says_what_to_do(tmp_path: Path) -> None:
    for words in (("status",), ("predict", *ROW), ("publish", "x.csv"), ("down", ".")):
        shown = chiron(*words, cwd=tmp_path)
        assert shown.returncode == 2, words
        assert "chiron: hint: run: chiron init NAME" in shown.stderr


# publish


def test_publish_says_how_many_rows_are_trained(finished: Finished) -> None:
    assert finished.shown["publish"] == "parcels: 200 rows in 4 shards, trained\n"


def test_publish_again_sends_nothing(finished: Finished, tmp_path: Path) -> None:
    file = jobs.write_csv(tmp_path / "anna.csv", {**jobs.rows("anna"), "id": range(jobs.ROWS)})
    words = ("--job", finished.directory.path, "--as", "anna", SIMULATION)
    shown = chiron("publish", file, *words)
    assert (shown.returncode, shown.stdout) == (0, "parcels: nothing left to send\n")
    assert shown.stderr == (
        "columns that the schema does not name stay here: id\n200 rows were accepted before\n"
    )
    found = data_of(chiron("publish", file, *words, "--json"))
    fields = {"dataset": "parcels", "rows": 0, "shards": 0, "state": "accepted", "voided": 0}
    assert found == [("publication", fields)]


def parcels(**columns: list[str] | None) -> dict[str, Any]:
    """Return three good rows with other columns put in; None takes a column away."""
    good = {name: ["0.5", "-1", "2"] for name in jobs.NUMBERS}
    table = {**good, "size": ["small", "large", "small"], **columns}
    return {name: cells for name, cells in table.items() if cells is not None}


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (parcels(depth=None), ("column 'depth': the data does not have it",)),
        (parcels(depth=None, dept=["1", "1", "1"]), ("rename 'dept' to 'depth'",)),
        (parcels(height=["1", "4.5", "1"]), ("row 1", "'height'")),
        (parcels(height=["1", "1", ""]), ("row 2", "'height'")),
        (parcels(weight=["1", "nan", "1"]), ("row 1", "'weight'")),
        (parcels(weight=["many", "1", "1"]), ("row 0", "'weight'", "not a number")),
        (parcels(size=["small", "large", "huge"]), ("row 2", "'size'")),
        (parcels(size=["small", "", "small"]), ("row 1", "'size'")),
    ],
    ids=["missing", "misspelt", "range", "empty", "nan", "text", "label", "no label"],
)
def test_publish_names_row_and_column_and_nothing_is_sealed(
    finished: Finished, tmp_path: Path, table: dict[str, Any], words: tuple[str, ...]
) -> None:
    before = written(finished.directory)
    file = jobs.write_csv(tmp_path / "rows.csv", table)
    member = ("--job", finished.directory.path, "--as", "alice", SIMULATION)
    shown = chiron("publish", file, *member)
    assert (shown.returncode, shown.stdout) == (8, "")
    assert "[SCHEMA]" in shown.stderr
    assert "chiron: hint: " in shown.stderr
    for word in words:
        assert word in shown.stderr
    for cells in table.values():
        assert not [one for one in cells if len(one) > 3 and f" {one}" in shown.stderr]
    assert written(finished.directory) == before


def written(directory: JobDirectory) -> list[int]:
    """Return how far the topics reach that an owner writes to."""
    job = directory.job()
    with KafkaBroker(job.bootstrap_servers) as broker:
        places = [jobs.place(job, "control"), *(jobs.place(job, "shards", n) for n in range(4))]
        return [broker.watermarks(one).high for one in places]


HEADER = ",".join((*jobs.NUMBERS, "size"))


@pytest.mark.parametrize(
    ("name", "content", "code", "words"),
    [
        ("rows.xlsx", b"PK", 2, "cannot read rows.xlsx [USAGE]"),
        ("rows", b"1", 2, "cannot read rows [USAGE]"),
        ("rows.csv", None, 2, "there is no file"),
        ("rows.csv", b"", 8, "rows.csv is empty [NO_ROWS]"),
        ("rows.csv", f"{HEADER}\n".encode(), 8, "there are no rows; nothing was sealed"),
        ("rows.csv", f"{HEADER}\n1,2,3\n".encode(), 8, "line 2 of rows.csv has another number"),
        (
            "rows.csv",
            f"{HEADER}\n1,2,3,4,\xff\n".encode("latin-1"),
            2,
            "rows.csv does not read [USAGE]",
        ),
        ("rows.csv", f"{HEADER}\n1,2,3,4,{'x' * 200_000}\n".encode(), 2, "does not read"),
        ("rows.npz", b"PK not", 2, "rows.npz does not read"),
    ],
    ids=["type", "no type", "none", "empty", "header", "ragged", "bytes", "long", "npz"],
)
def test_publish_refuses_a_file_that_does_not_read(
    finished: Finished, tmp_path: Path, name: str, content: bytes | None, code: int, words: str
) -> None:
    file = tmp_path / name
    if content is not None:
        file.write_bytes(content)
    member = ("--job", finished.directory.path, "--as", "alice", SIMULATION)
    shown = chiron("publish", file, *member)
    assert words in shown.stderr
    assert (shown.returncode, shown.stdout) == (code, "")


def test_publish_refuses_a_column_that_is_there_twice(finished: Finished, tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text(f"width,{HEADER}\n1,1,2,3,4,small\n")
    member = ("--job", finished.directory.path, "--as", "alice", SIMULATION)
    shown = chiron("publish", file, *member)
    assert "column 'width': the data has it twice" in shown.stderr


def test_publish_reads_arrays_of_numpy(finished: Finished, tmp_path: Path) -> None:
    table = jobs.rows("alice")
    np.savez(tmp_path / "rows.npz", **table)
    member = ("--job", finished.directory.path, "--as", "alice", SIMULATION)
    shown = chiron("publish", tmp_path / "rows.npz", *member)
    assert (shown.returncode, shown.stdout) == (0, "parcels: nothing left to send\n")


def test_publish_asks_which_owner_where_there_are_two(finished: Finished, tmp_path: Path) -> None:
    file = jobs.write_csv(tmp_path / "rows.csv", parcels())
    shown = chiron("publish", file, "--job", finished.directory.path, SIMULATION)
    assert shown.returncode == 2
    assert shown.stderr == (
        "chiron: error: which owner? [USAGE]\n"
        "chiron: expected: --as NAME\n"
        "chiron: got: alice, anna\n"
    )


@pytest.mark.parametrize("name", ["nobody", "carol"])
def test_publish_as_somebody_who_is_no_owner_is_refused(
    finished: Finished, tmp_path: Path, name: str
) -> None:
    file = jobs.write_csv(tmp_path / "rows.csv", parcels())
    words = ("--job", finished.directory.path, "--as", name, "--dataset", "parcels", SIMULATION)
    shown = chiron("publish", file, *words)
    assert shown.returncode in (2, 8)
    assert name in shown.stderr
    assert "BUG" not in shown.stderr


@pytest.mark.parametrize("words", [("publish", "{file}", "--as", "anna"), ("predict", *ROW)])
def test_whoever_does_not_accept_simulation_neither_publishes_nor_asks(
    finished: Finished, tmp_path: Path, words: tuple[str, ...]
) -> None:
    file = jobs.write_csv(tmp_path / "rows.csv", parcels())
    typed = [word.format(file=file) for word in words]
    shown = chiron(*typed, "--job", finished.directory.path, "--json")
    assert (shown.returncode, error_of(shown)["code"]) == (8, "SIMULATION")


def test_identity_that_others_may_read_is_refused(finished: Finished, tmp_path: Path) -> None:
    copy = JobDirectory(tmp_path)
    shutil.copytree(finished.directory.path / "keys", tmp_path / "keys")
    shutil.copy(finished.directory.job_file, copy.job_file)
    copy.identity("carol").chmod(0o640)
    shown = chiron("predict", *ROW, "--job", tmp_path, SIMULATION)
    assert shown.returncode == 2
    assert "others may read it [IDENTITY_PERMISSIONS]" in shown.stderr
    assert f"chiron: hint: run: chmod 600 {copy.identity('carol')}" in shown.stderr
    copy.identity("carol").chmod(0o600)
    assert chiron("predict", *ROW, "--job", tmp_path, SIMULATION).returncode == 0


# predict


def test_predict_prints_the_answer_and_what_it_rests_on(finished: Finished) -> None:
    words = ("--job", finished.directory.path, SIMULATION)
    shown = chiron("predict", *ROW, *words)
    assert (shown.returncode, shown.stdout) == (0, "large\n")
    note = r"SIMULATED, release 8, freshness: local, \d+ answers left\n"
    assert re.fullmatch(note, shown.stderr)
    ((kind, fields),) = data_of(chiron("predict", *ROW, *words, "--json"))
    assert kind == "answer"
    assert (fields["value"], fields["release"], fields["version"]) == ("large", 8, 8)
    assert (fields["freshness"], fields["simulated"]) == ("local", True)


@pytest.mark.parametrize(
    ("row", "code", "words"),
    [
        (ROW[:-1], 8, "column 'weight': the data does not have it"),
        ((*ROW[:-1], "wieght=1"), 8, "chiron: hint: rename 'wieght' to 'weight'"),
        ((*ROW[:-1], "weight=heavy"), 8, "column 'weight', row 0 (from 0): is no number"),
        ((*ROW[:-1], "weight="), 8, "'weight'"),
        ((*ROW[:-1], "weight=4.5"), 8, "'weight'"),
        ((*ROW[:-1], "weight"), 2, "a row is written name=value [USAGE]"),
        ((*ROW, "weight=2"), 2, "the column 'weight' is there twice [USAGE]"),
    ],
    ids=["missing", "misspelt", "text", "empty", "range", "form", "twice"],
)
def test_predict_names_the_column_and_sends_nothing(
    finished: Finished, row: tuple[str, ...], code: int, words: str
) -> None:
    shown = chiron("predict", *row, "--job", finished.directory.path, SIMULATION)
    assert words in shown.stderr
    assert (shown.returncode, shown.stdout) == (code, "")


def test_predict_says_which_columns_it_did_not_send(finished: Finished) -> None:
    words = ("--job", finished.directory.path, SIMULATION)
    shown = chiron("predict", *ROW, "ward=3", "size=small", *words)
    assert (shown.returncode, shown.stdout) == (0, "large\n")
    assert "columns that a query does not need stay here: ward, size\n" in shown.stderr


# worker


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("coordinator",), 2),
        (("janitor", "--job", "x"), 2),
        (("trainer", "--job", "/nowhere/job.json"), 2),
    ],
    ids=["no job", "role", "no file"],
)
def test_worker_refuses_what_cannot_mean_anything(words: tuple[str, ...], code: int) -> None:
    shown = chiron("worker", *words)
    assert shown.returncode == code
    assert "Traceback" not in shown.stderr


def test_worker_without_a_quoting_service_says_what_is_missing(
    finished: Finished, new_directory: NewDirectory, kafka: LocalKafka
) -> None:
    words = ("--job", str(finished.directory.job_file))
    shown = chiron("worker", "trainer", *words, "--quoting-service", str(new_directory().quoting))
    assert shown.returncode != 0
    assert "[QUOTING_SERVICE]" in shown.stderr
    assert "Traceback" not in shown.stderr
