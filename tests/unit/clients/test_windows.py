"""Batches of any size become windows of one size; what was accepted is passed over."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chiron_stream.clients.batches import Batches, survey
from chiron_stream.clients.windows import RowWindows, Window, row_of, row_token
from chiron_stream.errors import PolicyRefused, SchemaMismatch
from chiron_stream.job.schema import LabelColumn, NumberColumn, Schema
from chiron_stream.wire.replies import Accept, Parked

SCHEMA = Schema((NumberColumn("x", "int64", 0, 1000), LabelColumn("y", ("no", "yes"))))
SIZES = st.lists(st.integers(0, 7), max_size=12)


def batch(first: int, count: int) -> dict[str, Any]:
    return {"x": list(range(first, first + count)), "y": ["no"] * count, "z": [0] * count}


def batches(*sizes: int) -> list[dict[str, Any]]:
    firsts = [sum(sizes[:place]) for place in range(len(sizes))]
    return [batch(first, size) for first, size in zip(firsts, sizes, strict=True)]


def accept(number: int = 0, row: int = 0, *parked: Parked) -> Accept:
    return Accept(number, row_token(row) if row else b"", parked, fin=False)


def parked(number: int, start: int, stop: int) -> Parked:
    return Parked(number, row_token(stop), row_token(start) if start else b"", "LOST")


def windows(data: Any, size: int, rows: int | None = None) -> RowWindows:
    return RowWindows(Batches(SCHEMA, data).read, size, rows)


def shown(found: Iterator[tuple[int, Window]]) -> list[tuple[int, list[int]]]:
    shards = []
    for number, one in found:
        values = one.columns["x"].tolist()
        assert (one.start, one.stop) == (row_of(one.before), row_of(one.token))
        assert values == list(range(one.start, one.stop))
        shards.append((number, values))
    return shards


@given(SIZES, st.integers(1, 9), st.integers(0, 4))
def test_windows_are_of_one_size_whatever_the_batches(
    sizes: list[int], size: int, done: int
) -> None:
    rows = sum(sizes)
    resumed = min(done * size, rows)
    found = shown(windows(batches(*sizes), size).shards(accept(done, resumed)))
    assert [number for number, _ in found] == list(range(done, done + len(found)))
    assert [one for _, values in found for one in values] == list(range(resumed, rows))
    assert all(len(values) == size for _, values in found[:-1])


def test_parked_shards_come_before_what_was_never_sent() -> None:
    back = accept(4, 12, parked(3, 9, 12), parked(0, 0, 3))
    found = shown(windows(batches(5, 5, 5), 3).shards(back))
    assert found == [(0, [0, 1, 2]), (3, [9, 10, 11]), (4, [12, 13, 14])]


def test_rows_are_read_again_between_two_tokens() -> None:
    source = windows(batches(4, 4, 4), 5)
    list(source.shards(accept()))
    assert source.again(row_token(3), row_token(9)).columns["x"].tolist() == [3, 4, 5, 6, 7, 8]


def test_iterator_cannot_be_read_again() -> None:
    source = windows(iter(batches(4, 4)), 5)
    assert len(list(source.shards(accept()))) == 2
    with pytest.raises(PolicyRefused) as refused:
        source.again(b"", row_token(5))
    assert refused.value.code == "ROWS_GONE"


@pytest.mark.parametrize("back", [accept(3, 12), accept(1, 3, parked(0, 9, 12))])
def test_fewer_rows_than_were_published_are_other_data(back: Accept) -> None:
    with pytest.raises(PolicyRefused) as refused:
        list(windows(batches(5, 5), 4).shards(back))
    assert (refused.value.code, refused.value.got) == ("OTHER_DATA", "10 rows")


@pytest.mark.parametrize("token", [b"x", bytes(9), bytes(40)])
def test_token_of_another_publisher_is_refused(token: bytes) -> None:
    with pytest.raises(PolicyRefused) as refused:
        RowWindows.position(token)
    assert refused.value.code == "TOKEN"


def test_at_most_a_window_and_a_batch_are_read_ahead() -> None:
    read = 0

    def stream() -> Iterator[dict[str, Any]]:
        nonlocal read
        for one in batches(*[4] * 10):
            read += 4
            yield one

    for _, window in windows(stream(), 6).shards(accept()):
        assert read - window.stop < 6 + 4


def test_window_shows_no_values() -> None:
    ((_, window),) = windows(batches(2), 5).shards(accept())
    assert repr(window) == "Window(0 to 2)"


# batches


def test_wrong_row_is_counted_through_all_batches_and_what_is_before_it_is_good() -> None:
    data = [*batches(4, 4), {"x": [8, -1], "y": ["no", "no"]}]
    found = Batches(SCHEMA, data, name="rows.csv", hint="mend it")
    reading = found.read()
    assert [next(reading).rows for _ in range(3)] == [4, 4, 1]
    with pytest.raises(SchemaMismatch) as refused:
        next(reading)
    error = refused.value
    assert error.message == "column 'x', row 9 (from 0): a value out of range, in rows.csv"
    assert (error.expected, error.hint) == ("0 to 1000", "mend it")
    assert "-1" not in str(error)


def test_first_wrong_row_counts_whatever_the_order_of_the_columns() -> None:
    found = Batches(SCHEMA, [{"x": [0, 1, 2, -1], "y": ["no", "no", "maybe", "no"]}])
    reading = found.read()
    assert next(reading).columns["x"].tolist() == [0, 1]
    with pytest.raises(SchemaMismatch, match=r"column 'y', row 2 \(from 0\)"):
        next(reading)


def test_error_of_a_column_names_no_row() -> None:
    with pytest.raises(SchemaMismatch, match=r"^column 'y': the data does not have it \("):
        list(Batches(SCHEMA, [{"x": [1]}]).read())


def test_columns_that_the_schema_does_not_name_are_listed_once() -> None:
    data = [*batches(2, 2), {**batch(4, 1), "w": [0]}]
    found = Batches(SCHEMA, data)
    assert survey(found) == 5
    assert list(found.dropped) == ["z", "w"]


def test_beginning_reads_one_batch_and_loses_none() -> None:
    found = Batches(SCHEMA, iter(batches(0, 3, 2)))
    assert found.begin()
    assert [one.rows for one in found.read()] == [3, 2]
    assert not Batches(SCHEMA, iter(batches(0, 0))).begin()


def test_whole_table_is_all_batches() -> None:
    whole = Batches(SCHEMA, batches(3, 2)).whole()
    assert (whole.rows, whole.columns["x"].tolist()) == (5, [0, 1, 2, 3, 4])
    assert whole.columns["x"].dtype == np.dtype("<i8")
    with pytest.raises(SchemaMismatch) as refused:
        Batches(SCHEMA, []).whole()
    assert refused.value.code == "NO_ROWS"
