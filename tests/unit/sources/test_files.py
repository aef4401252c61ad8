"""Tables from files: every format, what is wrong with them, and how much memory they take."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from chiron_stream.clients.batches import Batches
from chiron_stream.errors import ChironError, SchemaMismatch, UsageRefused
from chiron_stream.job.rows import Prepared
from chiron_stream.job.schema import (
    CategoryColumn,
    LabelColumn,
    NumberColumn,
    Schema,
    TensorColumn,
)
from chiron_stream.sources import arrays, delimited, files, lines, parquet

PLAIN = (
    NumberColumn("age", "float32", 0, 120, "mask"),
    NumberColumn("id", "int64", 0, 2.0**60),
    CategoryColumn("site", ("a", "b"), "bucket"),
    LabelColumn("y", ("no", "yes")),
)
SCHEMA = Schema(PLAIN)
TENSORS = Schema((*PLAIN, TensorColumn("scan", (2, 3), "float32", 0, 1000)))
COUNT = 25
BIG = 2**53 + 1


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read files of these tests in several batches."""
    monkeypatch.setattr(delimited, "BATCH_ROWS", 10)
    monkeypatch.setattr(lines, "BATCH_BYTES", 500)
    monkeypatch.setattr(arrays, "BATCH_BYTES", 400)
    monkeypatch.setattr(parquet, "BATCH_BYTES", 400)


def rows(*, tensors: bool) -> list[dict[str, Any]]:
    found = []
    for n in range(COUNT):
        age = None if n % 7 == 3 else n / 2
        row = {
            "age": age,
            "id": BIG + n,
            "site": "abc"[n % 3],
            "y": ("no", "yes")[n % 2],
            "ward": n,
        }
        scan = [[6 * n + 3 * i + j for j in range(3)] for i in range(2)]
        found.append({**row, "scan": scan} if tensors else row)
    return found


def write_csv(path: Path, found: list[dict[str, Any]], mark: str = "") -> None:
    names = list(found[0])
    cells = [",".join("" if row[n] is None else str(row[n]) for n in names) for row in found]
    path.write_text(mark + "\n".join([",".join(names), *cells]) + "\n", encoding="utf-8")


def write_jsonl(path: Path, found: list[dict[str, Any]]) -> None:
    path.write_text("\n\n".join(json.dumps(row) for row in found) + "\n")


def write_npz(path: Path, found: list[dict[str, Any]], save: Any = np.savez) -> None:
    table = {name: [row[name] for row in found] for name in found[0]}
    table["age"] = [np.nan if one is None else one for one in table["age"]]
    made = {name: np.array(column) for name, column in table.items()}
    made["scan"] = np.asfortranarray(made["scan"]) if save is np.savez else made["scan"]
    save(path, **made)


def write_parquet(path: Path, found: list[dict[str, Any]]) -> None:
    pq.write_table(pa.Table.from_pylist(found), path, row_group_size=8)


WRITERS: dict[str, tuple[str, Callable[..., None], bool]] = {
    "csv": ("rows.csv", write_csv, False),
    "csv with a mark": ("rows.CSV", lambda p, f: write_csv(p, f, "\ufeff"), False),
    "json lines": ("rows.jsonl", write_jsonl, True),
    "npz": ("rows.npz", write_npz, True),
    "packed npz": ("rows.npz", lambda p, f: write_npz(p, f, np.savez_compressed), True),
    "parquet": ("rows.parquet", write_parquet, True),
}


def read(path: Path, schema: Schema) -> tuple[Prepared, int]:
    """Return all rows of a file, and how many batches they came in."""
    word = str(path)
    found = files.source(word)
    table = files.open_table(found, files.format_of(word, None), schema)
    dropped = dict.fromkeys(table.unread)
    batches = Batches(schema, table, name=found.name, dropped=dropped)
    count = len(list(batches.read()))
    return batches.whole(), count


@pytest.mark.parametrize(("name", "write", "tensors"), WRITERS.values(), ids=WRITERS)
def test_file_of_any_format_comes_to_the_same_rows_and_can_be_read_again(
    tmp_path: Path, name: str, write: Callable[..., None], *, tensors: bool
) -> None:
    given = rows(tensors=tensors)
    write(tmp_path / name, given)
    found, batches = read(tmp_path / name, TENSORS if tensors else SCHEMA)
    assert batches > 2
    assert found.dropped == ("ward",)
    assert found.columns["id"].tolist() == [row["id"] for row in given], "whole numbers are exact"
    assert found.columns["age"].tolist() == [row["age"] or 0 for row in given]
    assert found.columns["age:mask"].tolist() == [row["age"] is None for row in given]
    assert found.columns["site"].tolist() == [n % 3 for n in range(COUNT)]
    if tensors:
        assert found.columns["scan"].tolist() == [row["scan"] for row in given]


@pytest.mark.parametrize(("name", "write", "tensors"), WRITERS.values(), ids=WRITERS)
def test_wrong_row_of_a_file_is_named_and_its_cell_is_not(
    tmp_path: Path, name: str, write: Callable[..., None], *, tensors: bool
) -> None:
    given = rows(tensors=tensors)
    given[17]["age"] = 8765.5
    write(tmp_path / name, given)
    with pytest.raises(SchemaMismatch) as refused:
        read(tmp_path / name, TENSORS if tensors else SCHEMA)
    told = refused.value.message
    assert told == f"column 'age', row 17 (from 0): a value out of range, in {name}"
    assert "8765" not in repr(refused.value.diagnostics())


HEADER = "age,id,site,y\n"
BROKEN: dict[str, tuple[str, bytes, type[ChironError], str]] = {
    "empty csv": ("rows.csv", b"", SchemaMismatch, "rows.csv is empty"),
    "ragged csv": (
        "rows.csv",
        f"{HEADER}1,2,a,no\n1,2\n".encode(),
        SchemaMismatch,
        "line 3 of rows.csv has another number of cells",
    ),
    "text for a number": (
        "rows.csv",
        (HEADER + "1,2,a,no\n" * 12 + "1,many,a,no\n").encode(),
        SchemaMismatch,
        "column 'id', row 12 (from 0): not a number, in rows.csv",
    ),
    "csv of bytes": ("rows.csv", HEADER.encode() + b"\xff", UsageRefused, "rows.csv does not read"),
    "column twice": (
        "rows.csv",
        b"age,age\n1,2\n",
        SchemaMismatch,
        "column 'age': the data has it twice",
    ),
    "no json": ("rows.jsonl", b"\n{secret\n", SchemaMismatch, "line 2 of rows.jsonl is no JSON"),
    "no object": ("rows.jsonl", b"[1]\n", SchemaMismatch, "line 1 of rows.jsonl is no JSON object"),
    "bytes": ("rows.jsonl", b"\xff\xfe\n", SchemaMismatch, "line 1 of rows.jsonl is no JSON"),
    "deep": ("rows.jsonl", b"[" * 100_000, SchemaMismatch, "line 1 of rows.jsonl is no JSON"),
    "name twice": (
        "rows.jsonl",
        b'{"age": 1, "age": 2}\n',
        SchemaMismatch,
        "line 1 of rows.jsonl has a name twice",
    ),
    "no npz": ("rows.npz", b"PK not", UsageRefused, "rows.npz does not read"),
    "no parquet": ("rows.parquet", b"PAR1 not", UsageRefused, "rows.parquet does not read"),
}


@pytest.mark.parametrize(("name", "content", "kind", "told"), BROKEN.values(), ids=BROKEN)
def test_broken_file_is_refused_by_name(
    tmp_path: Path, name: str, content: bytes, kind: type[ChironError], told: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(kind) as refused:
        read(tmp_path / name, SCHEMA)
    assert refused.value.message == told
    assert "secret" not in repr(refused.value.diagnostics())


@pytest.mark.parametrize(
    ("name", "broken"),
    [
        ("rows.csv", "1,2\n"),
        ("rows.csv", "1,many,a,no,0\n"),
        ("rows.csv", "1,2,a,maybe,0\n"),
        ("rows.csv", f"1,2,{'a' * 200_000},no,0\n"),
        ("rows.jsonl", "[]\n"),
        ("rows.jsonl", '{"age": 1, "id": 2, "site": "a", "y": "maybe"}\n'),
    ],
)
def test_rows_in_front_of_the_wrong_one_are_read(tmp_path: Path, name: str, broken: str) -> None:
    path = tmp_path / name
    {"rows.csv": write_csv, "rows.jsonl": write_jsonl}[name](path, rows(tensors=False))
    with path.open("a") as file:
        file.write(broken)
    table = files.open_table(files.source(str(path)), path.suffix[1:], SCHEMA)
    found: list[Prepared] = []
    with pytest.raises((SchemaMismatch, UsageRefused)):
        found.extend(Batches(SCHEMA, table).read())
    assert sum(one.rows for one in found) == COUNT


def test_line_that_is_too_long_is_refused_before_it_is_read_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "LINE_BYTES", 100)
    (tmp_path / "rows.jsonl").write_text(json.dumps({"site": "a" * 200}))
    with pytest.raises(SchemaMismatch, match=r"line 1 of rows\.jsonl is longer than 100 bytes"):
        read(tmp_path / "rows.jsonl", SCHEMA)


def test_tensor_in_csv_is_refused(tmp_path: Path) -> None:
    write_csv(tmp_path / "rows.csv", rows(tensors=True))
    with pytest.raises(SchemaMismatch, match="'scan' is a tensor, which CSV cannot hold"):
        read(tmp_path / "rows.csv", TENSORS)


@pytest.mark.parametrize("cut", [1, 60, 400])
def test_npz_that_is_cut_off_is_refused(tmp_path: Path, cut: int) -> None:
    write_npz(tmp_path / "whole.npz", rows(tensors=True))
    content = (tmp_path / "whole.npz").read_bytes()
    (tmp_path / "rows.npz").write_bytes(content[:-cut])
    with pytest.raises(UsageRefused, match=r"rows\.npz does not read"):
        read(tmp_path / "rows.npz", TENSORS)


def test_npz_of_objects_runs_nothing(tmp_path: Path) -> None:
    class Loud:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(tmp_path / "ran"),)

    np.savez(tmp_path / "rows.npz", age=np.array([Loud()], dtype=object))
    with pytest.raises(UsageRefused, match=r"rows\.npz does not read"):
        read(tmp_path / "rows.npz", SCHEMA)
    assert not (tmp_path / "ran").exists()
    np.load(tmp_path / "rows.npz", allow_pickle=True)["age"]
    assert (tmp_path / "ran").exists(), "the control: NumPy would have run it"


def test_npz_of_arrays_of_different_lengths_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "rows.npz", age=np.zeros(3), id=np.zeros(4))
    with pytest.raises(SchemaMismatch, match="column 'id': another number of rows"):
        read(tmp_path / "rows.npz", SCHEMA)


def test_parquet_reads_only_the_columns_of_the_schema(tmp_path: Path) -> None:
    write_parquet(tmp_path / "rows.parquet", rows(tensors=False))
    found = files.source(str(tmp_path / "rows.parquet"))
    table = files.open_table(found, "parquet", SCHEMA)
    assert next(iter(table)).column_names == ["age", "id", "site", "y"]
    assert table.unread == ("ward",)


def test_format_is_the_end_of_the_name_unless_it_is_given() -> None:
    assert files.format_of("a/b.ndjson", None) == "jsonl"
    assert files.format_of("a/b.txt", "csv") == files.format_of("-", "csv") == "csv"
    with pytest.raises(UsageRefused, match="cannot read standard input"):
        files.format_of("-", None)


# standard input

READ_STANDARD_INPUT = """
import sys
from tests.unit.sources.test_files import SCHEMA, Batches, files
found = files.source("-")
table = files.open_table(found, sys.argv[1], SCHEMA)
data = table if found.seekable else iter(table)
batches = Batches(SCHEMA, data, name=found.name)
print(found.seekable, sum(one.rows for one in batches.read()))
"""


def piped(kind: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-c", READ_STANDARD_INPUT, kind],
        capture_output=True,
        check=False,
        timeout=60,
        **options,
    )


@pytest.mark.parametrize(("kind", "write"), [("csv", write_csv), ("jsonl", write_jsonl)])
def test_pipe_is_read_once_as_it_comes(
    tmp_path: Path, kind: str, write: Callable[..., None]
) -> None:
    write(tmp_path / "rows", rows(tensors=False))
    shown = piped(kind, input=(tmp_path / "rows").read_bytes())
    assert shown.stdout.decode().split() == ["False", str(COUNT)], shown.stderr.decode()


@pytest.mark.parametrize(("kind", "write"), [("npz", write_npz), ("parquet", write_parquet)])
def test_format_with_its_directory_at_its_end_is_read_from_a_redirected_file_only(
    tmp_path: Path, kind: str, write: Callable[..., None]
) -> None:
    path = tmp_path / f"rows.{kind}"
    write(path, rows(tensors=True) if kind == "npz" else rows(tensors=False))
    with path.open("rb") as file:
        shown = piped(kind, stdin=file)
    assert shown.stdout.decode().split() == ["True", str(COUNT)], shown.stderr.decode()
    refused = piped(kind, input=path.read_bytes())
    assert b"standard input does not read" in refused.stderr


# memory

MEASURE = """
import re, sys
from pathlib import Path
from tests.unit.sources.test_files import WIDE, Batches, files
word = sys.argv[1]
table = files.open_table(files.source(word), files.format_of(word, None), WIDE)
rows = sum(one.rows for one in Batches(WIDE, table).read())
peak = re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())
print(rows, int(peak[1]) // 1024)
"""
"""Reads a file; prints its rows, and the peak of its memory in MB."""

WIDE = Schema((TensorColumn("scan", (256,), "float32", 0, 1), LabelColumn("y", ("no", "yes"))))
NARROW_ROWS, WIDE_ROWS = 2_000, 120_000


def write_wide(path: Path, count: int) -> None:
    scan = np.zeros((count, 256), np.float32)
    if path.suffix == ".npz":
        np.savez(path, scan=scan, y=np.zeros(count, np.int64))
        return
    if path.suffix == ".parquet":
        column = pa.FixedShapeTensorArray.from_numpy_ndarray(scan)
        table = pa.table({"scan": column, "y": np.zeros(count, np.int64)})
        pq.write_table(table, path, row_group_size=4096, compression="none", use_dictionary=False)
        return
    line = json.dumps({"scan": [0.5] * 256, "y": "no"}) + "\n"
    with path.open("w") as file:
        file.writelines(line for _ in range(count // 4))


def peak(path: Path) -> tuple[int, int]:
    """Return how many rows a process of its own reads, and its peak memory in MB."""
    words = [sys.executable, "-c", MEASURE, str(path)]
    shown = subprocess.run(words, capture_output=True, text=True, check=True, timeout=120)
    count, megabytes = shown.stdout.split()
    return int(count), int(megabytes)


@pytest.mark.parametrize("suffix", ["npz", "parquet", "jsonl"])
def test_large_file_takes_no_more_memory_than_a_small_one(tmp_path: Path, suffix: str) -> None:
    small, large = tmp_path / f"small.{suffix}", tmp_path / f"large.{suffix}"
    write_wide(small, NARROW_ROWS)
    write_wide(large, WIDE_ROWS)
    least, most = peak(small), peak(large)
    assert most[0] == 60 * least[0]
    grown = large.stat().st_size // 2**20
    assert grown > 30
    assert most[1] - least[1] < grown // 2, f"{least[1]} MB, then {most[1]} MB for {grown} MB"


def test_csv_of_many_rows_takes_no_more_memory_than_one_of_few(tmp_path: Path) -> None:
    cells = ",".join(f"{n}.25" for n in range(5)) + ",no\n"
    schema_names = ",".join([*(f"n{n}" for n in range(5)), "y"]) + "\n"
    code = MEASURE.replace("WIDE", "TALL")
    peaks = []
    for count in (2_000, 400_000):
        path = tmp_path / f"{count}.csv"
        with path.open("w") as file:
            file.write(schema_names)
            file.writelines(cells for _ in range(count))
        words = [sys.executable, "-c", code, str(path)]
        shown = subprocess.run(words, capture_output=True, text=True, check=True, timeout=120)
        rows_read, megabytes = map(int, shown.stdout.split())
        assert rows_read == count
        peaks.append(megabytes)
    assert peaks[1] - peaks[0] < 12, peaks


TALL = Schema(
    (*(NumberColumn(f"n{n}", "float32", 0, 9) for n in range(5)), LabelColumn("y", ("no", "yes")))
)
