"""``chiron publish`` of files and pipes: transcripts, what it takes, and what it leaves alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from chiron_stream.broker.kafka import KafkaBroker
from chiron_stream.broker.local import LocalKafka
from chiron_stream.local.directory import JobDirectory
from chiron_stream.local.running import RunningJob
from tests.jobs import jobs
from tests.jobs.command import CHIRON, chiron, clean_environment, data_of, error_of
from tests.jobs.conftest import NewDirectory

pytestmark = pytest.mark.kafka

OPEN = {"kind": "open", "window": 1, "max_wait": 3600, "owner_slots": 1, "shards_per_slot": 1000}
COORDINATOR = {"coordinator": 1}


@pytest.fixture(scope="module")
def directory(kafka: LocalKafka, new_directory: NewDirectory) -> Iterator[JobDirectory]:
    """A job that takes data sets of any name, and has nothing but a coordinator."""
    made = new_directory(owners=["alice"], schedule=OPEN, disclosure={"score_every": 1})
    with RunningJob(made, bootstrap_servers=kafka.bootstrap_servers, workers=COORDINATOR):
        yield made


def table(rows: int = jobs.ROWS) -> dict[str, Any]:
    return {name: list(column[:rows]) for name, column in jobs.rows("alice").items()}


def write_jsonl(path: Path) -> None:
    columns = table()
    lines = zip(*columns.values(), strict=True)
    text = [json.dumps(dict(zip(columns, map(plain, row), strict=True))) for row in lines]
    path.write_text("\n".join(text) + "\n")


def plain(cell: Any) -> Any:
    return float(cell) if isinstance(cell, np.floating) else cell


def write(path: Path) -> Path:
    """Write alice's rows in the format that the end of a name says."""
    if path.suffix == ".parquet":
        pq.write_table(pa.table(table()), path, row_group_size=64)
    elif path.suffix == ".npz":
        arrays: dict[str, Any] = {name: np.array(column) for name, column in table().items()}
        np.savez(path, **arrays)
    elif path.suffix == ".jsonl":
        write_jsonl(path)
    else:
        jobs.write_csv(path, table())
    return path


def words(directory: JobDirectory, dataset: str) -> tuple[str | Path, ...]:
    job = ("--job", directory.path, "--insecure-simulation")
    return (*job, "--dataset", dataset, "--rows-per-shard", "50", "--no-fin")


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "npz", "parquet"])
def test_file_of_any_format_is_published_and_again_nothing_is_left(
    directory: JobDirectory, tmp_path: Path, suffix: str
) -> None:
    file = write(tmp_path / f"rows.{suffix}")
    asked = words(directory, f"file-{suffix}")
    shown = chiron("publish", file, *asked)
    assert shown.stdout == f"file-{suffix}: 200 rows in 4 shards, accepted\n", shown.stderr
    assert shown.stderr == "", "no progress but on a terminal"
    again = chiron("publish", file, *asked)
    assert again.stdout == f"file-{suffix}: nothing left to send\n"


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_pipe_is_published_and_piped_in_again_with_more_rows_it_goes_on(
    directory: JobDirectory, tmp_path: Path, suffix: str
) -> None:
    lines = write(tmp_path / f"rows.{suffix}").read_text().splitlines(keepends=True)
    asked = ("-", "--format", suffix, *words(directory, f"pipe-{suffix}"))
    head = 1 if suffix == "csv" else 0
    shown = chiron("publish", *asked, input="".join(lines[: head + 100]))
    assert shown.stdout == f"pipe-{suffix}: 100 rows in 2 shards, accepted\n", shown.stderr
    shown = chiron("publish", *asked, input="".join(lines))
    assert shown.stdout == f"pipe-{suffix}: 100 rows in 2 shards, accepted\n"
    assert shown.stderr == "100 rows were accepted before\n"


def test_wrong_row_of_a_pipe_ends_it_and_what_is_before_its_shard_was_published(
    directory: JobDirectory, tmp_path: Path
) -> None:
    lines = write(tmp_path / "rows.csv").read_text().splitlines(keepends=True)
    asked = ("-", "--format", "csv", *words(directory, "wrong"))
    broken = [*lines[:131], lines[131].replace(lines[131].split(",")[1], "765"), *lines[132:]]
    shown = chiron("publish", *asked, input="".join(broken))
    assert shown.returncode == 8
    assert "column 'height', row 130 (from 0): a value out of range, in standard input" in (
        shown.stderr
    )
    assert "hint: what is before that row's shard was published" in shown.stderr
    assert "765" not in shown.stderr
    shown = chiron("publish", *asked, input="".join(lines))
    assert shown.stderr == "100 rows were accepted before\n"
    assert shown.stdout == "wrong: 100 rows in 2 shards, accepted\n"


def test_wrong_row_of_a_file_is_found_before_anything_is_sealed(
    directory: JobDirectory, tmp_path: Path
) -> None:
    before = written(directory)
    found = {**table(), "depth": [*table()["depth"][:199], 99.0]}
    shown = chiron("publish", jobs.write_csv(tmp_path / "r.csv", found), *words(directory, "file"))
    assert (shown.returncode, shown.stdout) == (8, "")
    assert "row 199 (from 0): a value out of range, in r.csv" in shown.stderr
    assert "chiron: hint: nothing was sealed" in shown.stderr
    assert written(directory) == before


def written(directory: JobDirectory) -> list[int]:
    """Return how far the topics reach that an owner writes to."""
    job = directory.job()
    with KafkaBroker(job.bootstrap_servers) as broker:
        places = [jobs.place(job, "control"), *(jobs.place(job, "shards", n) for n in range(4))]
        return [broker.watermarks(one).high for one in places]


def test_dry_run_says_what_would_be_sent_and_who_learns_what_and_sends_nothing(
    directory: JobDirectory, tmp_path: Path
) -> None:
    before = written(directory)
    file = jobs.write_csv(tmp_path / "rows.csv", {**table(), "ward": range(jobs.ROWS)})
    asked = ("publish", file, *words(directory, "dry"), "--dry-run")
    shown = chiron(*asked, "--rows-per-shard", "60")
    assert shown.stdout == (
        "dry: 200 rows in 4 shards would be sent; nothing was\n"
        "columns that are sealed: width, height, depth, weight, size\n"
        "columns that stay here: ward\n"
        "4 shards, each padded to 1 x 16384 bytes\n"
    ), shown.stderr
    assert shown.stderr == (
        "the operator: opaque ids, padded sizes, counts and times; no row, no column\n"
        "bob (provider): nothing\n"
        "carol (client): at most 100000 answers of 1 bits each\n"
        "dan (auditor): which shards were trained on when; no row\n"
        "each owner: scores on its own rows for evaluation, at most 100000 bits in all\n"
    )
    ((kind, fields),) = data_of(chiron(*asked, "--json"))
    assert (kind, fields["rows"], fields["dropped"]) == ("dry-run", 200, ["ward"])
    assert fields["shards"] == [{"count": 4, "records": 1, "record_bytes": 16384}]
    assert written(directory) == before


def test_dry_run_finds_what_publishing_would(directory: JobDirectory, tmp_path: Path) -> None:
    file = jobs.write_csv(tmp_path / "rows.csv", {**table(), "depth": [99.0] * jobs.ROWS})
    shown = chiron("publish", file, *words(directory, "dry"), "--dry-run", "--json")
    assert (shown.returncode, error_of(shown)["code"]) == (8, "SCHEMA")
    shown = chiron("publish", tmp_path / "x.csv", *words(directory, "dry"), "--dry-run", "--json")
    assert (shown.returncode, error_of(shown)["code"]) == (2, "USAGE")


def test_rows_for_evaluation_are_said_to_be_that(directory: JobDirectory, tmp_path: Path) -> None:
    file = write(tmp_path / "rows.csv")
    shown = chiron("publish", file, *words(directory, "held-out"), "--evaluate")
    assert shown.stdout == "held-out: 200 rows in 4 shards for evaluation, accepted\n", shown.stderr
    (one,) = data_of(chiron("publish", file, *words(directory, "held-out"), "--evaluate", "--json"))
    assert one[1]["state"] == "accepted", "they never train"


def test_progress_shows_on_a_terminal_only(directory: JobDirectory, tmp_path: Path) -> None:
    file = write(tmp_path / "rows.csv")
    asked = [CHIRON, "publish", str(file), *map(str, words(directory, "terminal"))]
    ours, theirs = os.openpty()
    shown = subprocess.run(
        asked, stdout=subprocess.PIPE, stderr=theirs, env=clean_environment(), check=True
    )
    os.close(theirs)
    said = os.read(ours, 65536).decode()
    os.close(ours)
    assert "\rsealed and sent 50 of 200 rows" in said
    assert said.endswith("\rsealed and sent 200 of 200 rows\r\n")
    assert shown.stdout == b"terminal: 200 rows in 4 shards, accepted\n"


# memory

FEATURES = 256
SMALL, LARGE = 8_000, 160_000
MEASURE = """
import re, sys
from pathlib import Path
from chiron_stream.cli.main import main
code = main(sys.argv[1:])
print(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])
sys.exit(code)
"""
"""The command, and the peak of its own memory: what getrusage tells counts its parent's too."""


@pytest.fixture(scope="module")
def wide(kafka: LocalKafka, new_directory: NewDirectory) -> Iterator[JobDirectory]:
    """A job of rows of a kilobyte, in shards of a megabyte."""
    columns = [
        {"name": "scan", "kind": "tensor", "shape": [FEATURES], "dtype": "float32"}
        | {"low": 0, "high": 1},
        {"name": "size", "kind": "label", "classes": list(jobs.CLASSES)},
    ]
    made = new_directory(
        owners=["alice"], schedule=OPEN, columns=columns, shard_classes=[[2, 600_000]]
    )
    with RunningJob(made, bootstrap_servers=kafka.bootstrap_servers, workers=COORDINATOR):
        yield made


def peak(directory: JobDirectory, rows: int, path: Path) -> int:
    """Publish a file of so many rows; return the peak memory of the process in MB."""
    scan = np.random.default_rng(0).random((rows, FEATURES), np.float32)
    np.savez(path, scan=scan, size=np.zeros(rows, np.int64))
    asked = ["publish", str(path), "--job", str(directory.path), "--insecure-simulation"]
    shown = subprocess.run(
        [sys.executable, "-c", MEASURE, *asked, "--dataset", path.stem, "--timeout", "60"],
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    path.unlink()
    told, kilobytes = shown.stdout.splitlines()
    assert told.startswith(f"{path.stem}: {rows} rows in")
    return int(kilobytes) // 1024


def test_large_file_is_published_in_the_memory_of_a_few_shards(
    wide: JobDirectory, tmp_path: Path
) -> None:
    small, large = (peak(wide, rows, tmp_path / f"r{rows}.npz") for rows in (SMALL, LARGE))
    assert LARGE * FEATURES * 4 // 2**20 > 150, "MB of rows"
    assert large - small < 80, f"{small} MB, then {large} MB"
    print(f"{SMALL} rows: {small} MB; {LARGE} rows: {large} MB")
