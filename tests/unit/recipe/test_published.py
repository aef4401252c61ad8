"""Where a planned shard's rows stand in the table that its owner published."""

from __future__ import annotations

import numpy as np

from chiron_stream.recipe.published import DataSetName, Published, data_sets
from chiron_stream.wire.receipts import Plan, PlannedShard, PlannedSlot

ALICE, ANNA = bytes(32), bytes([1] * 32)
SIZE = 10


def shard(owner: bytes, name: str, number: int, rows: int = SIZE) -> PlannedShard:
    return PlannedShard(owner, name, number, rows)


def plan(number: int, *slots: tuple[PlannedShard, ...]) -> Plan:
    zeros = bytes(32)
    made = tuple(
        PlannedSlot(n, n, 0, shards, sum(one.rows for one in shards), 1, "n", zeros, zeros)
        for n, shards in enumerate(slots)
    )
    return Plan(number, number, zeros, zeros, zeros, made)


def found(published: Published, one: PlannedShard) -> list[int]:
    return list(published.rows_of(one)["x"])


def test_shards_follow_each_other_whatever_round_used_them() -> None:
    table = {DataSetName(ALICE, "d"): {"x": np.arange(25)}}
    plans = [
        plan(1, (shard(ALICE, "d", 2, 5),), (shard(ALICE, "d", 0),)),
        plan(2, (shard(ALICE, "d", 1),)),
    ]
    published = Published(table, plans, SIZE)
    assert found(published, shard(ALICE, "d", 0)) == list(range(10))
    assert found(published, shard(ALICE, "d", 1)) == list(range(10, 20))
    assert found(published, shard(ALICE, "d", 2, 5)) == list(range(20, 25))


def test_owner_who_came_back_goes_on_behind_a_shard_that_was_not_full() -> None:
    table = {DataSetName(ALICE, "d"): {"x": np.arange(30)}}
    plans = [plan(1, (shard(ALICE, "d", 0), shard(ALICE, "d", 1, 3), shard(ALICE, "d", 2)))]
    published = Published(table, plans, SIZE)
    assert found(published, shard(ALICE, "d", 1, 3)) == [10, 11, 12]
    assert found(published, shard(ALICE, "d", 2)) == list(range(13, 23))


def test_shard_in_no_plan_is_taken_for_full() -> None:
    table = {DataSetName(ALICE, "d"): {"x": np.arange(30)}}
    published = Published(table, [plan(1, (shard(ALICE, "d", 2),))], SIZE)
    assert found(published, shard(ALICE, "d", 2)) == list(range(20, 30))


def test_table_that_ends_early_gives_fewer_rows() -> None:
    table = {DataSetName(ALICE, "d"): {"x": np.arange(7)}}
    published = Published(table, [plan(1, (shard(ALICE, "d", 0),))], SIZE)
    assert len(found(published, shard(ALICE, "d", 0))) == 7


def test_owners_may_have_data_sets_of_one_name() -> None:
    plans = [
        plan(1, (shard(ALICE, "d", 0),), (shard(ANNA, "d", 0),)),
        plan(2, (shard(ANNA, "e", 0),)),
    ]
    names = [DataSetName(ALICE, "d"), DataSetName(ANNA, "d"), DataSetName(ANNA, "e")]
    assert data_sets(plans) == names
    tables = {name: {"x": np.full(SIZE, n)} for n, name in enumerate(names)}
    published = Published(tables, plans, SIZE)
    assert set(found(published, shard(ANNA, "d", 0))) == {1}
