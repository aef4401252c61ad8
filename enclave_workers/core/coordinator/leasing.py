"""Leases: which live trainer has which slot, and what it is told.

A slot, or an evaluation, is leased to a named boot. A lease that ends without a result is given
again: at once behind the first failure, then when the shell's timer has let it wait, longer each
time, so that a task that brings trainers down does not bring down all of them.
"""

from __future__ import annotations

from typing import Final

from chiron_stream.wire import labels
from chiron_stream.wire.crypto import derive
from chiron_stream.wire.tasks import KeyedObject, ShardGrant, SlotTask, Task
from enclave_workers.core.coordinator.effects import Effect, Tell
from enclave_workers.core.coordinator.events import Retried
from enclave_workers.core.coordinator.opening import keys_of
from enclave_workers.core.coordinator.state import (
    At,
    Context,
    Recipe,
    Round,
    ShardId,
    ShardStatus,
    Slot,
    State,
    Version,
)

MOST_FAILURES: Final = 10
"""Leases of a task that may end without a result before its shards are parked."""

LONGEST_BACKOFF: Final = 30.0
"""Seconds that a slot is held back behind a failure, at most (``docs/operating.md``)."""


def backoff(failures: int) -> float:
    """Return the seconds that a slot is held back behind its ``failures``-th failure."""
    return min(2.0 ** (failures - 2), LONGEST_BACKOFF) if failures > 1 else 0.0


def retried(_context: Context, state: State, event: Retried, _at: At) -> list[Effect]:
    """Hold a task back no longer."""
    for one in state.leases():
        if one.task == event.task:
            one.held = False
    return []


def trainers(state: State) -> list[bytes]:
    """Return the live trainers that compute in the job's numerics class, and say so."""
    boots = state.live("trainer")
    named = {boot: state.workers[boot].numerics for boot in boots}
    return [boot for boot in boots if named[boot] and state.numerics in ("", named[boot])]


def idle(state: State) -> list[bytes]:
    """Return the trainers that can be leased something."""
    busy = {one.boot for one in state.leases()}
    return [boot for boot in trainers(state) if boot not in busy]


def waiting_for(state: State) -> str:
    """Return what an open round waits for, in a word; empty: for nothing."""
    if trainers(state):
        return ""
    return "numerics-class" if state.numerics and state.live("trainer") else "trainer"


def lease(context: Context, state: State, current: Round) -> list[Effect]:
    """Lease each open slot, whose shards are all at hand, to a live trainer that is idle."""
    free = idle(state)
    effects: list[Effect] = []
    for slot in current.slots:
        if not free:
            break
        if slot.boot is not None or slot.result is not None or slot.held:
            continue
        if any(state.shard(one).status is ShardStatus.PARKED for one in slot.shards):
            continue
        boot = free.pop(0)
        slot.give(boot)
        effects.append(tell(state, boot, _task(context, state, current, slot)))
    return effects


def tell(state: State, boot: bytes, body: Task) -> Tell:
    """Return the next task for a boot."""
    worker = state.workers[boot]
    number, worker.tasks = worker.tasks, worker.tasks + 1
    return Tell(boot, worker.secrets[state.epoch], number, body)


def definition(state: State, recipe: Recipe) -> KeyedObject:
    """Return the recipe's definition with its key."""
    key = keys_of(recipe.session, state.sessions[recipe.session]).recipe
    return KeyedObject(recipe.manifest.definition, key)


def version_object(context: Context, version: Version) -> KeyedObject:
    """Return a version's state with its key, which derives from K and the version's number."""
    return KeyedObject(version.ref, derive(context.key, labels.K_VERSION, version.number))


def _task(context: Context, state: State, current: Round, slot: Slot) -> SlotTask:
    if state.recipe is None or state.version is None:
        raise AssertionError("a round is planned on a recipe and a version")
    return SlotTask(
        task=slot.task,
        round=current.number,
        slot=slot.number,
        definition=definition(state, state.recipe),
        base=version_object(context, state.version),
        seed=slot.seed,
        first_step=state.version.step,
        shards=tuple(grant(state, one) for one in slot.shards),
        update_key=derive(context.key, labels.K_UPDATE, slot.task),
    )


def grant(state: State, shard_id: ShardId) -> ShardGrant:
    """Return what a trainer needs to read a shard, its key among it."""
    shard = state.shard(shard_id)
    keys = keys_of(shard.session, state.sessions[shard.session])
    return ShardGrant(
        session=shard.session,
        data_set=keys.data_set(shard_id.name),
        number=shard_id.number,
        rows=shard.rows,
        records=shard.records,
        digest=shard.digest,
        partition=shard.partition,
        first=shard.first,
        key=keys.shard(shard_id.name, shard_id.number),
    )
