"""The bridge without Kafka: tokens, decoding, what a shard holds and in which order."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chiron_stream.bridge.decoding import Poison, Reason, RowReader, decoder
from chiron_stream.bridge.gathering import Gathering
from chiron_stream.bridge.positions import Position
from chiron_stream.broker.records import Partition, Record
from chiron_stream.errors import PolicyRefused, UsageRefused
from chiron_stream.job.schema import LabelColumn, NumberColumn, Schema

SCHEMA = Schema((NumberColumn("x", "float32", 0, 1000), LabelColumn("y", ("no", "yes"))))
READER = RowReader(decoder("json"), "none", {})

# positions

OFFSETS = st.dictionaries(st.integers(0, 300), st.integers(0, 2**40), min_size=1, max_size=16)


@given(st.integers(0, 2**40), OFFSETS, st.integers(0, 100))
def test_position_comes_back_from_its_token(rows: int, offsets: dict[int, int], back: int) -> None:
    plain = Position(rows, offsets)
    assert Position.unpack(plain.pack()) == plain
    first = Position(rows, offsets, {n: max(0, one - back) for n, one in offsets.items()})
    assert Position.unpack(first.pack()) == first
    assert first.start == Position(0, first.begins or {})


@given(st.binary(max_size=40))
def test_bytes_that_are_no_token_are_refused_by_name(token: bytes) -> None:
    with suppress(PolicyRefused):
        found = Position.unpack(b"B1" + token)
        assert Position.unpack(found.pack()) == found
    if not token.startswith(b"B1"):
        with pytest.raises(PolicyRefused) as refused:
            Position.unpack(token)
        assert refused.value.code == "TOKEN"


@pytest.mark.parametrize("cut", [1, 3, 5])
def test_token_that_is_cut_is_refused(cut: int) -> None:
    token = Position(300, {0: 500, 4: 70000}).pack()
    with pytest.raises(PolicyRefused):
        Position.unpack(token[:-cut])


def test_source_with_too_many_partitions_for_a_token_is_refused() -> None:
    assert len(Position(0, dict.fromkeys(range(20), 10**9)).room.pack()) <= 256
    with pytest.raises(UsageRefused) as refused:
        Position(0, dict.fromkeys(range(60), 10**9)).room.pack()
    assert refused.value.code == "TOKEN_SIZE"
    assert "--partitions" in str(refused.value.hint)


# decoding


def test_row_comes_from_json_and_from_msgpack() -> None:
    row = {"x": 1.5, "y": "no"}
    assert READER.row(json.dumps(row).encode()) == row
    assert RowReader(decoder("msgpack"), "none", {}).row(msgpack.packb(row)) == row


def test_decoder_of_ones_own_is_found_by_its_name() -> None:
    assert decoder("json:loads")(b'{"x": 1}') == {"x": 1}
    for word in ("json:no", "nowhere:f", "json", "xml", "json:__doc__"):
        if word != "json":
            with pytest.raises(UsageRefused, match="there is no decoder"):
                decoder(word)


def envelope(operation: Any, **parts: Any) -> dict[str, Any]:
    return {"op": operation, "before": None, "after": {"x": 1, "y": "no"}, **parts}


@pytest.mark.parametrize("operation", ["c", "r"])
@pytest.mark.parametrize("schema", [True, False])
def test_inserts_and_reads_of_debezium_are_rows(operation: str, *, schema: bool) -> None:
    reader = RowReader(decoder("json"), "debezium", {})
    inner = envelope(operation)
    value = {"schema": {}, "payload": inner} if schema else inner
    assert reader.row(json.dumps(value).encode()) == {"x": 1, "y": "no"}


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (envelope("u"), Reason.UPDATE),
        (envelope("d", after=None), Reason.DELETE),
        (envelope("t"), Reason.OPERATION),
        (envelope(["c"]), Reason.OPERATION),
        (envelope("c", after=None), Reason.NO_ROW),
        ({"x": 1, "y": "no"}, Reason.NO_ROW),
        ({"payload": None}, Reason.NO_ROW),
        ([1], Reason.NO_ROW),
    ],
)
def test_anything_else_of_debezium_is_refused_by_name(value: Any, reason: Reason) -> None:
    with pytest.raises(Poison) as refused:
        RowReader(decoder("json"), "debezium", {}).row(json.dumps(value).encode())
    assert refused.value.reason is reason


@pytest.mark.parametrize(
    ("value", "reason"),
    [(b"", Reason.TOMBSTONE), (b"{secret", Reason.UNDECODABLE), (b"[1]", Reason.NO_ROW)],
)
def test_value_that_is_no_row_is_refused_by_name(value: bytes, reason: Reason) -> None:
    with pytest.raises(Poison) as refused:
        READER.row(value)
    assert refused.value.reason is reason
    assert "secret" not in refused.value.detail


def test_columns_are_renamed_by_their_fields() -> None:
    reader = RowReader(decoder("json"), "none", {"x": "age"})
    assert reader.row(b'{"age": 7, "y": "no"}') == {"x": 7, "y": "no"}
    assert reader.row(b'{"y": "no"}') == {"y": "no"}


# gathering


def record(number: int, offset: int, row: Any = None) -> Record:
    value = json.dumps({"x": 10 * number + offset, "y": "no"} if row is None else row).encode()
    return Record(Partition("vitals", number), offset, value, None, (), 0)


def gathering(**offsets: int) -> Gathering:
    numbers = {int(name[1:]): offset for name, offset in offsets.items()} or {0: 0, 1: 0}
    return Gathering(SCHEMA, READER.of, Position(0, numbers))


RECORDS = [record(n, offset) for n in (0, 1) for offset in range(4)]


@given(st.permutations([0, 0, 0, 0, 1, 1, 1, 1]))
def test_shard_is_the_same_in_whatever_order_partitions_come(order: list[int]) -> None:
    """Within a partition records come in their order; between two partitions in any."""
    found = gathering()
    streams = {n: iter(RECORDS[4 * n : 4 * n + 4]) for n in (0, 1)}
    for number in order:
        assert found.take(next(streams[number])) is None
    window, _ = found.cut()
    assert window is not None
    assert window.columns["x"].tolist() == [0, 1, 2, 3, 10, 11, 12, 13]
    assert Position.unpack(window.token) == Position(8, {0: 4, 1: 4}, {0: 0, 1: 0})


def test_record_that_comes_again_changes_nothing() -> None:
    found = gathering()
    for one in (record(0, 0), record(0, 1), record(0, 0), record(0, 1), record(0, 2)):
        found.take(one)
    window, _ = found.cut()
    assert window is not None
    assert window.columns["x"].tolist() == [0, 1, 2]
    assert len(found) == 0


def test_second_shard_begins_behind_the_first() -> None:
    found = gathering()
    found.take(record(0, 0))
    first, _ = found.cut()
    found.take(record(1, 5))
    second, _ = found.cut()
    assert first is not None
    assert second is not None
    assert (second.start, second.stop, second.before) == (1, 2, first.token)
    assert Position.unpack(second.token) == Position(2, {0: 1, 1: 6})


def test_wrong_row_is_left_out_by_name_and_the_rest_goes_on() -> None:
    found = gathering()
    for one in (
        record(0, 0),
        record(0, 1, {"x": 7777, "y": "no"}),
        record(0, 2, {"x": "many", "y": "no"}),
        record(0, 3, {"y": "no"}),
        record(0, 4),
    ):
        found.take(one)
    window, rows = found.cut()
    assert window is not None
    assert window.columns["x"].tolist() == [0, 4]
    assert [(one.record.offset, one.reason) for one in rows.refused] == [
        (n, Reason.SCHEMA) for n in (1, 2, 3)
    ]
    assert all("column 'x'" in one.detail for one in rows.refused)
    assert not [one for one in rows.refused if "7777" in one.detail or "many" in one.detail]
    assert Position.unpack(window.token).offsets == {0: 5, 1: 0}


def test_wrong_rows_alone_make_no_shard_and_are_behind_the_next_one() -> None:
    found = gathering()
    found.take(record(0, 0, {"x": -1, "y": "no"}))
    window, rows = found.cut()
    assert (window, len(rows.refused)) == (None, 1)
    found.take(record(0, 1))
    window, _ = found.cut()
    assert window is not None
    assert (window.start, Position.unpack(window.token).offsets) == (0, {0: 2, 1: 0})


def test_partition_that_comes_later_begins_at_its_first_record() -> None:
    found = gathering(p0=5)
    found.take(record(0, 5))
    found.take(record(9, 0))
    window, _ = found.cut()
    assert window is not None
    assert Position.unpack(window.token) == Position(2, {0: 6, 9: 1}, {0: 5, 9: 0})


def test_what_is_wrong_with_a_record_is_said_without_a_number_of_a_row() -> None:
    made = gathering(p0=0)
    made.take(record(0, 0))
    made.take(record(0, 1, {"x": -5, "y": "no"}))
    (refused,) = made.rows().refused
    assert (refused.record.offset, refused.reason) == (1, Reason.SCHEMA)
    assert "'x'" in refused.detail
    assert "row" not in refused.detail
