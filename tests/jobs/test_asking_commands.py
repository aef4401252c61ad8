"""Transcripts of asking about many rows, and of reading the answers later, over real Kafka."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from chiron_stream import InsecureSimulation, QueryClient
from chiron_stream.broker.local import LocalKafka
from chiron_stream.clients.identity import Identity
from chiron_stream.errors import ChironError
from chiron_stream.local.directory import JobDirectory
from chiron_stream.local.running import RunningJob
from chiron_stream.recipe import Recipe
from tests.jobs import jobs
from tests.jobs.command import CHIRON, chiron, clean_environment, data_of, error_of
from tests.jobs.conftest import Finished, NewDirectory
from tests.jobs.jobs import Parties
from tests.kafka.processes import eventually

pytestmark = pytest.mark.kafka

SIMULATED = InsecureSimulation()
COUNT = 12


def rows(count: int = COUNT) -> list[dict[str, Any]]:
    """Return rows that any trained model tells apart, each with an id."""
    made = []
    for number in range(count):
        value = 1.5 if number % 3 else -1.5
        made.append({"id": f"p{number}", **dict.fromkeys(jobs.NUMBERS, value)})
    return made


EXPECTED = ["large" if number % 3 else "small" for number in range(COUNT)]


def as_json(table: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in table)


def as_csv(table: list[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, table[0])
    writer.writeheader()
    writer.writerows(table)
    return text.getvalue()


def words(directory: JobDirectory) -> tuple[str, ...]:
    return ("--job", str(directory.path), "--insecure-simulation")


@contextmanager
def predicting(directory: JobDirectory, *flags: str) -> Iterator[subprocess.Popen[str]]:
    """Run ``chiron predict -`` with an open pipe."""
    process = subprocess.Popen(
        [CHIRON, "predict", "-", *words(directory), *flags],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=clean_environment(),
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def queries(directory: JobDirectory) -> list[bytes]:
    """Return every query on the broker."""
    job = directory.job()
    return [one.value for n in range(4) for one in jobs.records(job, "queries", n)]


# predict FILE and -


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_predict_answers_the_rows_of_a_file_in_their_order(
    finished: Finished, tmp_path: Path, kind: str
) -> None:
    file = tmp_path / f"rows.{kind}"
    file.write_text(as_csv(rows()) if kind == "csv" else as_json(rows()))
    shown = chiron("predict", file, *words(finished.directory))
    assert (shown.returncode, shown.stdout.splitlines()) == (0, EXPECTED)
    first, last = shown.stderr.splitlines()
    assert first == "columns that a query does not need stay here: id"
    assert last.startswith("SIMULATED, release 8, freshness: local, ")
    assert last.endswith(f" answers left; {COUNT} rows were answered")


@pytest.mark.parametrize("flags", [(), ("--format", "csv")], ids=["jsonl", "csv"])
def test_predict_reads_a_pipe_and_prints_envelopes(
    finished: Finished, flags: tuple[str, ...]
) -> None:
    text = as_csv(rows()) if flags else as_json(rows())
    shown = chiron("predict", "-", *words(finished.directory), *flags, "--json", input=text)
    assert shown.returncode == 0, shown.stderr
    found = data_of(shown)
    assert {kind for kind, _ in found} == {"answer"}
    first = 2 if flags else 1
    assert [one["line"] for _, one in found] == list(range(first, first + COUNT))
    assert [one["value"] for _, one in found] == EXPECTED
    assert {(one["release"], one["simulated"], one["tag"]) for _, one in found} == {(8, True, None)}


def test_row_of_a_pipe_is_answered_while_the_pipe_stays_open(finished: Finished) -> None:
    with predicting(finished.directory) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for number in range(3):
            process.stdin.write(as_json(rows()[number : number + 1]))
            process.stdin.flush()
            assert process.stdout.readline() == f"{EXPECTED[number]}\n"
        process.stdin.close()
        assert process.wait(30) == 0


def test_predict_that_waits_for_a_pipe_ends_with_ctrl_c(finished: Finished) -> None:
    with predicting(finished.directory) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(as_json(rows()[:1]))
        process.stdin.flush()
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
        assert process.stderr is not None
        assert "Traceback" not in process.stderr.read()


def test_predict_stops_at_the_line_that_is_wrong_and_answers_those_before(
    finished: Finished,
) -> None:
    bad = [*rows(2), {**rows(1)[0], "weight": 4.5}, *rows(1)]
    shown = chiron("predict", "-", *words(finished.directory), input=as_json(bad))
    assert (shown.returncode, shown.stdout.splitlines()) == (8, EXPECTED[:2])
    assert "2 rows were answered" in shown.stderr
    assert "chiron: error: line 3: column 'weight': " in shown.stderr
    assert "4.5" not in shown.stderr


@pytest.mark.parametrize(
    ("asked", "given", "code", "words_"),
    [
        (("none.csv",), "", 2, "there is no file none.csv"),
        ((str(Path(__file__)),), "", 2, "--format csv or jsonl"),
        (("-",), "not json\n", 8, "line 1 of -: no row"),
        (("-", "--tag", "id"), as_json([dict.fromkeys(jobs.NUMBERS, 1)]), 2, "line 1 has no tag"),
        (("-", "--no-wait"), as_json(rows(1)), 2, "--state FILE"),
    ],
    ids=["none", "kind", "json", "tag", "state"],
)
def test_predict_refuses_what_cannot_be_asked(
    finished: Finished, asked: tuple[str, ...], given: str, code: int, words_: str
) -> None:
    before = len(queries(finished.directory))
    shown = chiron("predict", *asked, *words(finished.directory), input=given)
    assert (shown.returncode, shown.stdout) == (code, "")
    assert words_ in shown.stderr
    assert len(queries(finished.directory)) == before


# tags and answers


def test_tags_are_answered_again_without_asking_and_later_by_answers(
    finished: Finished, tmp_path: Path
) -> None:
    directory, state = finished.directory, tmp_path / "carol.state"
    flags = (*words(directory), "--state", str(state))
    tagged = ("predict", "-", *flags, "--tag", "id", "--json")
    first = chiron(*tagged, input=as_json(rows()))
    assert first.returncode == 0, first.stderr
    assert stat.S_IMODE(state.stat().st_mode) == 0o600
    sent = queries(directory)
    assert chiron(*tagged, input=as_json(rows())).stdout == first.stdout
    assert queries(directory) == sent

    shown = chiron("answers", *flags, "--json")
    assert shown.returncode == 0
    read = [one for _, one in data_of(shown)]
    asked = [{k: v for k, v in one.items() if k != "line"} for _, one in data_of(first)]
    assert sorted(read, key=by_tag) == sorted(asked, key=by_tag)
    later = data_of(chiron("answers", *flags, "--after", read[3]["cursor"], "--json"))
    assert [one for _, one in later] == read[4:]
    last = chiron("answers", *flags, "--after", read[-1]["cursor"])
    assert (last.returncode, last.stdout, last.stderr) == (0, "", "no answers\n")


def by_tag(answer: dict[str, Any]) -> str:
    return str(answer["tag"])


def test_tag_of_another_row_is_refused(finished: Finished, tmp_path: Path) -> None:
    flags = (*words(finished.directory), "--state", str(tmp_path / "state"), "--tag", "id")
    one, other = ([f"{name}={value}" for name in jobs.NUMBERS] for value in (1, -1))
    asked = chiron("predict", *one, "id=17", *flags)
    assert (asked.returncode, asked.stdout) == (0, "large\n")
    assert chiron("predict", *one, "id=17", *flags).stdout == "large\n"
    shown = chiron("predict", *other, "id=17", *flags, "--json")
    assert (shown.returncode, error_of(shown)["code"]) == (2, "TAG_TAKEN")


def test_sent_now_and_read_later(finished: Finished, tmp_path: Path) -> None:
    flags = (*words(finished.directory), "--state", str(tmp_path / "state"))
    sent = chiron("predict", "-", *flags, "--tag", "id", "--no-wait", input=as_json(rows()))
    assert (sent.returncode, sent.stdout) == (0, f"{COUNT} queries sent\n")
    assert sent.stderr == f"next: chiron answers --state {tmp_path / 'state'}\n"
    shown = chiron("answers", *flags, "--timeout", "5")
    assert sorted(shown.stdout.splitlines()) == sorted(EXPECTED)
    assert "freshness: local, next: --after " in shown.stderr


@pytest.mark.parametrize(
    ("flags", "code"),
    [(("--after", "yesterday"), "CURSOR"), ((), "STATE_FILE")],
    ids=["cursor", "no state"],
)
def test_answers_refuses_what_it_cannot_read_behind(
    finished: Finished, tmp_path: Path, flags: tuple[str, ...], code: str
) -> None:
    state = tmp_path / "state"
    given = (*words(finished.directory), "--state", str(state))
    if flags:
        row = [f"{name}=1" for name in jobs.NUMBERS]
        assert chiron("predict", *row, *given).returncode == 0
    shown = chiron("answers", *given, *flags, "--json")
    assert (shown.returncode, error_of(shown)["code"]) == (2, code)


# processes


def test_asker_that_is_killed_is_gone_on_with_byte_for_byte(
    kafka: LocalKafka, new_directory: NewDirectory, recipe: Recipe, tmp_path: Path
) -> None:
    directory = new_directory(disclosure={"answers_per_client": 100, "grant_size": COUNT})
    state = tmp_path / "state"
    flags = ("--state", str(state), "--tag", "id", "--json")
    with RunningJob(directory, bootstrap_servers=kafka.bootstrap_servers):
        with predicting(directory, *flags) as process:
            assert process.stdin is not None
            process.stdin.write(as_json(rows()))
            process.stdin.flush()
            eventually(lambda: len(queries(directory)) >= COUNT, "all queries were sent", 60)
            other = chiron("predict", "id=x", *words(directory), *flags)
            assert error_of(other)["code"] in ("SCHEMA", "STATE_LOCKED")
            locked = chiron(
                "predict",
                *(f"{name}=1" for name in jobs.NUMBERS),
                "id=y",
                *words(directory),
                *flags,
            )
            assert (locked.returncode, error_of(locked)["code"]) == (9, "STATE_LOCKED")
            process.kill()
            process.wait(30)
        with Parties(directory) as parties:
            parties.provider().publish(recipe)
            for name in jobs.OWNERS:
                parties.publish(name)
            jobs.reaches(directory, "finished")
        again = chiron("predict", "-", *words(directory), *flags, input=as_json(rows()))
        assert again.returncode == 0, again.stderr
        answers = [one for _, one in data_of(again)]
        assert [one["value"] for one in answers] == EXPECTED
        assert len(set(queries(directory))) == COUNT
        assert min(one["budget_left"] for one in answers) == 100 - COUNT
        read = data_of(chiron("answers", *words(directory), *flags[:2], "--json"))
        assert sorted(one["tag"] for _, one in read) == sorted(one["id"] for one in rows())


def test_no_release_yet_is_a_time_out_that_says_so(
    kafka: LocalKafka, new_directory: NewDirectory
) -> None:
    directory = new_directory()
    workers = {"coordinator": 1}
    row = [f"{name}=1" for name in jobs.NUMBERS]
    with RunningJob(directory, bootstrap_servers=kafka.bootstrap_servers, workers=workers):
        identity = Identity.load(directory.identity("carol"))
        with QueryClient(directory.job(), identity, evidence=SIMULATED) as client:
            client.coordinator(60)  # it is there before the seconds are counted
        shown = chiron("predict", *row, *words(directory), "--timeout", "3", "--json")
    error = error_of(shown)
    assert (shown.returncode, error["code"], error["got"]) == (
        3,
        "ANSWER_TIMEOUT",
        "no release yet",
    )
    assert error["expected"] == "an answer within 3 s"


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_forked_client_over_kafka_is_refused_and_the_parent_goes_on(finished: Finished) -> None:
    identity = Identity.load(finished.directory.identity("carol"))
    row = dict.fromkeys(jobs.NUMBERS, 1.0)
    with QueryClient(finished.directory.job(), identity, evidence=SIMULATED) as client:
        client.predict(row)
        child = os.fork()
        if child == 0:
            code = ""
            try:
                client.predict(row, timeout=5)
            except ChironError as error:
                code = error.code
            client.close()
            os._exit(42 if code == "FORKED" else 1)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 42
        assert client.predict(row).value == "large"
