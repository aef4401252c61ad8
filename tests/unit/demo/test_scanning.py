"""The search for rows: found wherever they stand, and nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from examples.demo import scanning
from examples.demo.scanning import Scan

DICE = np.random.default_rng(5)
ROWS = np.where(DICE.random((50, 6, 6)) < 0.5, 0, DICE.random((50, 6, 6))).astype(np.float32)


@pytest.mark.parametrize("shift", range(9))
def test_rows_are_found_at_any_place(shift: int) -> None:
    data = bytes(shift) + ROWS[7].tobytes() + b"x" + ROWS[9].tobytes()
    assert len(Scan([ROWS]).found(data)) == 2


def test_rows_beside_each_other_are_all_found() -> None:
    scan = Scan([ROWS, ROWS[:10]])
    assert len(scan) == 50  # those that are there twice count once
    assert scan.found(ROWS.tobytes()) == set(range(50))


def test_row_with_one_other_byte_is_not_found() -> None:
    altered = bytearray(ROWS[7].tobytes())
    altered[-1] ^= 1
    assert Scan([ROWS]).found(bytes(altered)) == set()


def test_row_that_is_cut_off_is_not_found() -> None:
    scan = Scan([ROWS])
    assert scan.found(ROWS[7].tobytes()[:-1]) == scan.found(ROWS[7].tobytes()[1:]) == set()


@pytest.mark.parametrize("data", [b"", b"abc", bytes(100), DICE.bytes(100_000)])
def test_nothing_is_found_where_no_row_is(data: bytes) -> None:
    assert Scan([ROWS]).found(data) == set()


def test_bytes_are_searched_for_as_floats_are() -> None:
    rows = DICE.integers(0, 256, (20, 3, 5), dtype=np.uint8)
    assert len(Scan([rows]).found(b"abc" + rows[3].tobytes())) == 1


def test_rows_are_found_in_files_across_the_pieces_that_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scanning, "PIECE", 100)  # less than a row, so that each lies across some
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "00.log").write_bytes(DICE.bytes(333) + ROWS[1:4].tobytes())
    (tmp_path / "empty").write_bytes(b"")
    assert Scan([ROWS]).hits(tmp_path) == 3
