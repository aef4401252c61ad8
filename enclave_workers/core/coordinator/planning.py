"""The plan: which shards make a slot, which slots a round, and who trains them.

Closed jobs: one fin for each data set that the policy lists, then passes over a seeded permutation
of the shards. A slot holds shards of one owner and at least two rows. Everything here is a function
of policy and state; who is there decides only who trains, never what.
"""

from __future__ import annotations

from collections.abc import Sequence

from chiron_stream.job.policy import Policy
from chiron_stream.wire import labels
from chiron_stream.wire.control import Use
from chiron_stream.wire.crypto import derive, sha256
from chiron_stream.wire.tasks import KeyedObject, ShardGrant, SlotTask, Task
from enclave_workers.core.coordinator.effects import Effect, Tell
from enclave_workers.core.coordinator.opening import keys_of
from enclave_workers.core.coordinator.state import (
    Context,
    MergeEffect,
    Recipe,
    Round,
    ShardId,
    ShardStatus,
    Slot,
    State,
    Version,
)

MINIMUM_ROWS = 2
"""Rows of a slot, at least: batch statistics of one row are none."""


def advance(context: Context, state: State) -> list[Effect]:
    """Plan, lease and merge whatever can be, now that something changed."""
    effects: list[Effect] = []
    if state.version is None or state.finished:
        return effects
    if state.round is None:
        _begin_round(context, state)
    if state.round is not None:
        effects += _lease(context, state, state.round)
        effects += _merge(state, state.round)
    return effects


def waiting_for(context: Context, state: State) -> str:
    """Return what the job waits for, in a word for its status; empty: for nothing."""
    if state.finished:
        return ""
    if state.recipe is None or state.recipe.refused:
        return "recipe"
    if state.version is None:
        return "import"
    if not whole(context, state):
        return "data-sets"
    if state.counts()[ShardStatus.PARKED]:
        return "parked-shards"
    return "" if state.live("trainer") else "trainer"


def whole(context: Context, state: State) -> bool:
    """Tell whether every data set that the policy lists has its fin."""
    for listed in context.policy.schedule.data_sets:
        found = state.data_set(listed.owner, listed.name)
        if found is None or found.fin is None:
            return False
    return True


def _begin_round(context: Context, state: State) -> None:
    schedule = context.policy.schedule
    if not whole(context, state) or state.counts()[ShardStatus.PARKED]:
        return
    if not state.queue and state.passes < schedule.passes:
        state.queue = plan_pass(context.policy, state)
        state.passes += 1
    if not state.queue:
        _finish(context, state)
        return
    taken, state.queue = state.queue[: schedule.slots], state.queue[schedule.slots :]
    state.rounds += 1
    state.round = Round(
        state.rounds,
        tuple(
            _slot(context, state.rounds, number, 0, shards) for number, shards in enumerate(taken)
        ),
    )


def enough_for_release(context: Context, state: State) -> bool:
    """Tell whether rows of enough owners, and enough of them, came in since the last release."""
    disclosure = context.policy.disclosure
    return (
        state.rows_since >= disclosure.minimum_rows
        and len(state.owners_since) >= disclosure.minimum_owners
    )


def _finish(context: Context, state: State) -> None:
    """End a job whose last slots all dropped out: the newest version may be the last release."""
    state.finished = True
    if state.version is None or state.released == state.version:
        return
    if enough_for_release(context, state):
        state.release += 1
        state.released, state.release_checkpoint = state.version, state.checkpoint


def plan_pass(policy: Policy, state: State) -> tuple[tuple[ShardId, ...], ...]:
    """Return the slots of the next pass, in order.

    Shards stand in the order of (place of the owner in the roster, data set, number); sorting
    their places by SHA-256 over (seed, pass, place) permutes them without a generator. Walking
    along that, each owner fills slots of its own.
    """
    roster = [one.identity for one in policy.roster]
    usable = sorted(
        (roster.index(data_set.owner), data_set.name, number)
        for data_set in state.data_sets
        for number, shard in data_set.shards.items()
        if shard.use is Use.TRAIN and shard.status is not ShardStatus.VOID
    )
    turn = state.passes.to_bytes(8, "big")
    order = sorted(
        range(len(usable)),
        key=lambda n: sha256(labels.SHARD_ORDER, policy.seed, turn, n.to_bytes(8, "big")),
    )
    shards = [ShardId(roster[usable[n][0]], usable[n][1], usable[n][2]) for n in order]
    filling: dict[bytes, list[ShardId]] = {}
    slots: list[list[ShardId]] = []
    for shard in shards:
        bucket = filling.setdefault(shard.owner, [])
        bucket.append(shard)
        if len(bucket) == policy.schedule.shards_per_slot:
            slots.append(filling.pop(shard.owner))
    for bucket in filling.values():
        _append_rest(state, slots, bucket)
    return tuple(tuple(slot) for slot in slots if _rows(state, slot) >= MINIMUM_ROWS)


def _append_rest(state: State, slots: list[list[ShardId]], rest: list[ShardId]) -> None:
    """Add an owner's last slot; too few rows for one join the owner's slot before."""
    before = [slot for slot in slots if slot[0].owner == rest[0].owner]
    if _rows(state, rest) < MINIMUM_ROWS and before:
        before[-1] += rest
    else:
        slots.append(rest)


def _rows(state: State, shards: Sequence[ShardId]) -> int:
    return sum(state.shard(shard).rows for shard in shards)


def slot_seed(policy: Policy, round_number: int, slot: int) -> int:
    """Return the seed of a slot: 63 bits of SHA-256 over (job seed, round, slot)."""
    place = round_number.to_bytes(8, "big"), slot.to_bytes(8, "big")
    return int.from_bytes(sha256(labels.SLOT_SEED, policy.seed, *place)[:8], "big") >> 1


def _slot(
    context: Context, round_number: int, slot: int, revision: int, shards: tuple[ShardId, ...]
) -> Slot:
    task = sha256(
        labels.TASK, context.job, *(n.to_bytes(8, "big") for n in (round_number, slot, revision))
    )
    return Slot(task, slot, revision, shards, slot_seed(context.policy, round_number, slot))


def revise(context: Context, state: State, current: Round, place: int) -> None:
    """Make a new task of a slot whose content changed, of the shards that still can be used.

    A slot that is left with fewer than two rows drops out; a round without slots ends.
    """
    slot = current.slots[place]
    left = tuple(one for one in slot.shards if state.shard(one).status is not ShardStatus.VOID)
    slots = list(current.slots)
    slots[place] = _slot(context, current.number, slot.number, slot.revision + 1, left)
    current.slots = tuple(one for one in slots if _rows(state, one.shards) >= MINIMUM_ROWS)
    if not current.slots:
        state.round = None


def _lease(context: Context, state: State, current: Round) -> list[Effect]:
    """Lease each open slot, whose shards are all at hand, to a live trainer that is idle."""
    busy = {slot.boot for slot in current.slots if slot.result is None}
    idle = [boot for boot in state.live("trainer") if boot not in busy]
    effects: list[Effect] = []
    for slot in current.slots:
        if slot.boot is not None or slot.result is not None or not idle:
            continue
        if any(state.shard(one).status is ShardStatus.PARKED for one in slot.shards):
            continue
        slot.boot = idle.pop(0)
        effects.append(tell(state, slot.boot, _task(context, state, current, slot)))
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
        shards=tuple(_grant(state, one) for one in slot.shards),
        update_key=derive(context.key, labels.K_UPDATE, slot.task),
    )


def _grant(state: State, shard_id: ShardId) -> ShardGrant:
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


def _merge(state: State, current: Round) -> list[Effect]:
    results = [slot.result for slot in current.slots if slot.result is not None]
    if current.merging or len(results) < len(current.slots) or state.version is None:
        return []
    current.merging = True
    effect = MergeEffect(current.number, state.version.number + 1, tuple(results))
    state.open_effects = (*state.open_effects, effect)
    return [effect]
