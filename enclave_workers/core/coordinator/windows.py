"""Windows: which shards are passed over, how often, and in which slots.

One planner for both kinds of job. A closed job is one window: everything that its data sets hold.
An open job has one window after the other, of what has arrived: owners take turns, a slot at a
time, each up to its cap, until the window is full; a shard that has waited too long makes a window
begin as it is. Each window is passed over ``passes`` times, in another order each time. Everything
here is a function of policy and state.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Final

from chiron_stream.job.policy import Kind, Policy
from chiron_stream.wire import labels
from chiron_stream.wire.control import Use
from chiron_stream.wire.crypto import sha256
from enclave_workers.core.coordinator.state import (
    Context,
    DataSetState,
    Shard,
    ShardId,
    ShardStatus,
    State,
)

MINIMUM_ROWS: Final = 2
"""Rows of a slot, at least: batch statistics of one row are none."""

Slots = tuple[tuple[ShardId, ...], ...]


def arrived(context: Context, state: State, data_set: DataSetState, number: int) -> None:
    """Let a shard of an open job wait for its window; one of the window at hand is in it."""
    shard, shard_id = data_set.shards[number], ShardId(data_set.owner, data_set.name, number)
    if context.policy.schedule.kind is Kind.CLOSED or shard.use is not Use.TRAIN:
        return
    if shard_id not in state.window:
        _wait(state, shard_id)


def _wait(state: State, shard_id: ShardId) -> None:
    state.arrivals += 1
    state.waiting.setdefault(shard_id.owner, {})[state.arrivals] = shard_id


def oldest(state: State) -> int:
    """Return the arrival of the shard that has waited longest; 0 when none waits."""
    queues = (queue for queue in state.waiting.values() if _trainable(state, queue.values()))
    return min((next(iter(queue)) for queue in queues), default=0)


def whole(context: Context, state: State) -> bool:
    """Tell whether every data set that a closed job's policy lists has its fin."""
    for listed in context.policy.schedule.data_sets:
        found = state.data_set(listed.owner, listed.name)
        if found is None or found.fin is None:
            return False
    return True


def exhausted(context: Context, state: State) -> bool:
    """Tell whether a closed job has made all of its passes."""
    schedule = context.policy.schedule
    closed = schedule.kind is Kind.CLOSED
    return closed and state.windows == 1 and not state.queue and state.passes == schedule.passes


def refill(context: Context, state: State) -> bool:
    """Put the next pass into the queue, of this window or of the next; tell whether there is one.

    A pass that is left with no slot, because all its shards dropped out, is passed over.
    """
    schedule = context.policy.schedule
    while not state.queue:
        if schedule.kind is Kind.OPEN and state.passes == schedule.passes:
            _end_window(context, state)
        if not state.window and not _begin_window(context, state):
            return False
        if state.passes == schedule.passes:
            return False
        state.queue = plan_pass(context.policy, state)
        state.passes += 1
        state.turns += 1
    return True


def _begin_window(context: Context, state: State) -> bool:
    closed = context.policy.schedule.kind is Kind.CLOSED
    if closed and (state.windows or not whole(context, state)):
        return False
    state.window = everything(state) if closed else _chosen(context.policy, state)
    if not state.window and not closed:
        return False
    state.windows += 1
    state.passes = 0 if state.window else context.policy.schedule.passes
    return True


def _end_window(context: Context, state: State) -> None:
    """Leave a window; what it did not use as often as planned waits for another."""
    window, state.window = state.window, ()
    state.passes = 0
    for shard_id in window:
        shard = state.shard(shard_id)
        if _usable(shard) and shard.uses < context.policy.schedule.passes:
            _wait(state, shard_id)
    for shard_id in window:
        _forget(context, state, shard_id)


def everything(state: State) -> tuple[ShardId, ...]:
    """Return all shards that were announced for training."""
    return tuple(
        ShardId(data_set.owner, data_set.name, number)
        for data_set in state.data_sets
        for number, shard in data_set.shards.items()
        if shard.use is Use.TRAIN
    )


def _chosen(policy: Policy, state: State) -> tuple[ShardId, ...]:
    """Take the shards of the next window from those that wait; none before it may begin."""
    schedule, roster = policy.schedule, [one.identity for one in policy.roster]
    due = 0 < oldest(state) <= state.due
    room = schedule.window * schedule.slots
    have = {
        roster.index(owner): _slots_of(policy, state, owner, partly=due) for owner in state.waiting
    }
    if not due and sum(have.values()) < room:
        return ()
    slots = _turns(have, state.next_owner, room)
    state.next_owner = slots[-1] + 1
    taken: list[ShardId] = []
    for place in sorted(set(slots)):
        taken += _take(state, roster[place], slots.count(place) * schedule.shards_per_slot)
    return tuple(taken)


def _slots_of(policy: Policy, state: State, owner: bytes, *, partly: bool) -> int:
    """Return how many slots of a window an owner can fill, up to its cap."""
    schedule, queue = policy.schedule, state.waiting[owner]
    if not _trainable(state, queue.values()):
        return 0
    slots, rest = divmod(len(queue), schedule.shards_per_slot)
    return min(slots + (partly and rest > 0), schedule.window * schedule.owner_slots)


def _turns(have: dict[int, int], first: int, room: int) -> list[int]:
    """Return whose slots follow each other: one of each owner in turn, by place in the roster."""
    order = sorted(have, key=lambda place: (place < first, place))
    rounds = range(max(have.values(), default=0))
    return [place for n in rounds for place in order if have[place] > n][:room]


def _take(state: State, owner: bytes, count: int) -> list[ShardId]:
    """Take an owner's oldest shards; a single one of one row takes the next along."""
    queue = state.waiting[owner]
    taken = list(islice(queue.items(), count))
    if not _trainable(state, (one for _, one in taken)):
        taken = list(islice(queue.items(), count + 1))
    for arrival, _ in taken:
        del queue[arrival]
    if not queue:
        del state.waiting[owner]
    return [one for _, one in taken]


def _trainable(state: State, shards: Iterable[ShardId]) -> bool:
    rows = 0
    for one in shards:
        rows += state.shard(one).rows
        if rows >= MINIMUM_ROWS:
            return True
    return False


def rows_of(state: State, shards: Sequence[ShardId]) -> int:
    """Return the rows of shards together."""
    return sum(state.shard(shard).rows for shard in shards)


def _usable(shard: Shard) -> bool:
    return shard.status in (ShardStatus.ACCEPTED, ShardStatus.TRAINED)


def plan_pass(policy: Policy, state: State) -> Slots:
    """Return the slots of the window's next pass, in order.

    Shards stand in the order of (place of the owner in the roster, data set, number); sorting
    their places by SHA-256 over (seed, pass, place) permutes them without a generator. Walking
    along that, each owner fills slots of its own.
    """
    roster = [one.identity for one in policy.roster]
    usable = sorted(
        (roster.index(one.owner), one.name, one.number)
        for one in state.window
        if _usable(state.shard(one)) and state.shard(one).uses < policy.schedule.passes
    )
    turn = state.turns.to_bytes(8, "big")
    order = sorted(
        range(len(usable)),
        key=lambda n: sha256(labels.SHARD_ORDER, policy.seed, turn, n.to_bytes(8, "big")),
    )
    shards = [ShardId(roster[usable[n][0]], usable[n][1], usable[n][2]) for n in order]
    return _filled(state, shards, policy.schedule.shards_per_slot)


def _filled(state: State, shards: Sequence[ShardId], size: int) -> Slots:
    filling: dict[bytes, list[ShardId]] = {}
    slots: list[list[ShardId]] = []
    for shard in shards:
        bucket = filling.setdefault(shard.owner, [])
        bucket.append(shard)
        if len(bucket) >= size and rows_of(state, bucket) >= MINIMUM_ROWS:
            slots.append(filling.pop(shard.owner))
    for bucket in filling.values():
        _append_rest(state, slots, bucket)
    return tuple(tuple(slot) for slot in slots if rows_of(state, slot) >= MINIMUM_ROWS)


def _append_rest(state: State, slots: list[list[ShardId]], rest: list[ShardId]) -> None:
    """Add an owner's last slot; too few rows for one join the owner's slot before."""
    before = [slot for slot in slots if slot[0].owner == rest[0].owner]
    if rows_of(state, rest) < MINIMUM_ROWS and before:
        before[-1] += rest
    else:
        slots.append(rest)


def _forget(context: Context, state: State, shard_id: ShardId) -> None:
    """Drop what is known of a shard that is done with, and of the one before it.

    Kept are a data set's newest shard, whose token a publisher goes on behind, and the one before
    a shard that is not done, for the same reason.
    """
    data_set = state.data_set(shard_id.owner, shard_id.name)
    if data_set is None:
        return
    for number in (shard_id.number, shard_id.number - 1):
        if _done(context, data_set, number) and _done(context, data_set, number + 1):
            data_set.shards.pop(number, None)


def _done(context: Context, data_set: DataSetState, number: int) -> bool:
    shard = data_set.shards.get(number)
    if shard is None:
        return number < data_set.count
    if shard.use is not Use.TRAIN:
        return False
    return shard.status is ShardStatus.VOID or (
        shard.status is ShardStatus.TRAINED and shard.uses >= context.policy.schedule.passes
    )
