"""The plan: which slots a round has, and when it is merged.

Which shards make a slot is :mod:`~enclave_workers.core.coordinator.windows`', who trains it
:mod:`~enclave_workers.core.coordinator.leasing`'s. Everything here is a function of policy and
state; who is there decides only who trains, never what.
"""

from __future__ import annotations

from chiron_stream.job.policy import Kind, Policy
from chiron_stream.wire import labels
from chiron_stream.wire.crypto import sha256
from enclave_workers.core.coordinator import evaluating, leasing, windows
from enclave_workers.core.coordinator.effects import Effect
from enclave_workers.core.coordinator.state import (
    Context,
    MergeEffect,
    Round,
    ShardId,
    ShardStatus,
    Slot,
    State,
)


def advance(context: Context, state: State) -> list[Effect]:
    """Plan, lease and merge whatever can be, now that something changed."""
    if state.version is None:
        return []
    if state.round is None and not state.finished:
        _begin_round(context, state)
    effects = evaluating.lease(context, state, overdue=True)
    if state.round is not None:
        effects += leasing.lease(context, state, state.round)
        effects += _merge(state, state.round)
    return effects + evaluating.lease(context, state, overdue=False)


def waiting_for(context: Context, state: State) -> str:
    """Return what the job waits for, in a word for its status; empty: for nothing."""
    if state.finished:
        return ""
    if state.recipe is None or state.recipe.refused:
        return "recipe"
    if state.version is None:
        return "import"
    if context.policy.schedule.kind is Kind.OPEN:
        if state.round is None:
            return "full-window" if state.waiting else "shards"
    elif not windows.whole(context, state):
        return "data-sets"
    elif state.training_waits:
        return "parked-shards"
    return leasing.waiting_for(state)


def _begin_round(context: Context, state: State) -> None:
    schedule = context.policy.schedule
    if schedule.kind is Kind.CLOSED and state.training_waits:
        return
    if not windows.refill(context, state):
        if windows.exhausted(context, state):
            _finish(context, state)
        return
    taken, state.queue = state.queue[: schedule.slots], state.queue[schedule.slots :]
    state.rounds += 1
    named = enumerate(taken)
    slots = tuple(_slot(context, state, state.rounds, n, 0, shards) for n, shards in named)
    state.round = Round(state.rounds, slots)


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
        evaluating.plan(context, state)


def slot_seed(policy: Policy, round_number: int, slot: int) -> int:
    """Return the seed of a slot: 63 bits of SHA-256 over (job seed, round, slot)."""
    place = round_number.to_bytes(8, "big"), slot.to_bytes(8, "big")
    return int.from_bytes(sha256(labels.SLOT_SEED, policy.seed, *place)[:8], "big") >> 1


def _slot(
    context: Context,
    state: State,
    round_number: int,
    slot: int,
    revision: int,
    shards: tuple[ShardId, ...],
) -> Slot:
    task = sha256(
        labels.TASK, context.job, *(n.to_bytes(8, "big") for n in (round_number, slot, revision))
    )
    rows, seed = windows.rows_of(state, shards), slot_seed(context.policy, round_number, slot)
    return Slot(task, slot, revision, shards, rows, seed)


def revise(context: Context, state: State, current: Round, place: int) -> None:
    """Make a new task of a slot whose content changed, of the shards that still can be used.

    A parked shard leaves a slot of an open job, and waits for its window's next pass; a closed job
    waits for it. A slot that is left with fewer than two rows drops out; a round without slots
    ends.
    """
    slot = current.slots[place]
    out = {ShardStatus.VOID}
    if context.policy.schedule.kind is Kind.OPEN:
        out.add(ShardStatus.PARKED)
    left = tuple(one for one in slot.shards if state.shard(one).status not in out)
    slots = list(current.slots)
    slots[place] = _slot(context, state, current.number, slot.number, slot.revision + 1, left)
    current.slots = tuple(one for one in slots if one.rows >= windows.MINIMUM_ROWS)
    if not current.slots:
        state.round = None


def _merge(state: State, current: Round) -> list[Effect]:
    results = [slot.result for slot in current.slots if slot.result is not None]
    if current.merging or len(results) < len(current.slots) or state.version is None:
        return []
    current.merging = True
    effect = MergeEffect(current.number, state.version.number + 1, tuple(results))
    state.open_effects = (*state.open_effects, effect)
    return [effect]
