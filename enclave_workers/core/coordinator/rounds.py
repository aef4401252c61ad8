"""Rounds: imports, slot results, and what a merged version brings."""

from __future__ import annotations

from typing import Final

from chiron_stream.graph.batching import number_of_steps
from chiron_stream.job.disclosure import LARGEST_GRADIENT
from chiron_stream.wire.document import whole
from chiron_stream.wire.replies import (
    Imported,
    ImportRefused,
)
from chiron_stream.wire.workers import Outcome, SlotResult
from enclave_workers.core.coordinator import disclosing, evaluating, planning, receipting, windows
from enclave_workers.core.coordinator.effects import Disclose, Effect, PublishHead
from enclave_workers.core.coordinator.events import (
    ImportDone,
    ImportFailed,
    Merged,
    MergeFailed,
)
from enclave_workers.core.coordinator.faults import fault
from enclave_workers.core.coordinator.leasing import MOST_FAILURES
from enclave_workers.core.coordinator.opening import reply
from enclave_workers.core.coordinator.state import (
    At,
    Context,
    ImportEffect,
    MergeEffect,
    Round,
    Shard,
    ShardId,
    ShardStatus,
    Slot,
    State,
    Version,
)

TRAINER_S_FAULT: Final = frozenset({"NO_UPDATE", "DIGEST", "GRAPH_STATE", "NOT_FINITE"})
"""What is wrong with an update that opens: no broker can bring that about."""


def _close(state: State, kind: type[ImportEffect | MergeEffect]) -> None:
    state.open_effects = tuple(one for one in state.open_effects if not isinstance(one, kind))


def import_done(_context: Context, state: State, event: ImportDone, _at: At) -> list[Effect]:
    """Take version 0."""
    recipe = state.recipe
    if recipe is None or state.version is not None:
        return []
    _close(state, ImportEffect)
    recipe.batch_size, recipe.parameter_bytes = event.batch_size, event.parameter_bytes
    state.version = Version(0, event.ref, event.ref.digest, event.parameters, 0)
    return [reply(state, recipe.session, Imported(event.parameter_bytes))]


def import_failed(_context: Context, state: State, event: ImportFailed, _at: At) -> list[Effect]:
    """Tell the provider why; another manifest may come."""
    recipe = state.recipe
    if recipe is None:
        return []
    _close(state, ImportEffect)
    recipe.refused = True
    return [reply(state, recipe.session, ImportRefused(event.code, event.reason))]


def slot_result(context: Context, state: State, boot: bytes, result: SlotResult) -> list[Effect]:
    """Take what a trainer found; a second result for a task must equal the first.

    A boot that reports of a task that it never held is as little to be trusted as one that
    contradicts: nothing more is leased to it.
    """
    if result.task in state.settled:
        _compare(state, boot, state.settled[result.task], result)
        return []
    current = state.round
    for number, slot in enumerate(current.slots if current else ()):
        if current is not None and slot.task == result.task:
            if boot not in slot.holders:
                state.quarantine(boot)
                return []
            if slot.result is not None:
                _compare(state, boot, slot.result.digest, result)
                return []
            return _take_result(context, state, current, number, boot, result)
    return []


def _compare(state: State, boot: bytes, digest: bytes, late: SlotResult) -> None:
    """Hold a late update against the first; if they differ, the later boot goes.

    A late fault says nothing: what could be read before may be gone by then.
    """
    if late.outcome is Outcome.TRAINED and late.digest != digest:
        state.diverged += 1
        state.quarantine(boot)


def _take_result(
    context: Context, state: State, current: Round, number: int, boot: bytes, result: SlotResult
) -> list[Effect]:
    slot = current.slots[number]
    if result.outcome is not Outcome.TRAINED:
        return _take_faults(context, state, current, number, result)
    if not _credible(context, state, slot, result):
        state.quarantine(boot)
        return []
    state.numerics = result.numerics
    slot.result = result
    return []


def _credible(context: Context, state: State, slot: Slot, result: SlotResult) -> bool:
    """Tell whether a result has an update, and the rows, steps and numerics of its task.

    It measures nothing that the policy does not grant.
    """
    recipe, bits = state.recipe, context.policy.disclosure.progress_bits
    return (
        result.update is not None
        and recipe is not None
        and result.rows == slot.rows
        and result.steps == number_of_steps(slot.rows, recipe.batch_size)
        and state.numerics in ("", result.numerics)
        and whole(result.loss) < 1 << bits
        and result.gradient <= (LARGEST_GRADIENT if bits else 0)
    )


def _take_faults(
    context: Context, state: State, current: Round, number: int, result: SlotResult
) -> list[Effect]:
    slot = current.slots[number]
    effects: list[Effect] = []
    for found in result.faults:
        if found.place < len(slot.shards):
            shard_id = slot.shards[found.place]
            effects.append(fault(state, shard_id, result.outcome, found.reason))
    planning.revise(context, state, current, number)
    return effects


def park_failing(context: Context, state: State) -> list[Effect]:
    """Park, whole, each slot whose trainers failed too often: its owner is to look at it."""
    effects: list[Effect] = []
    current = state.round
    for number in range(len(current.slots) - 1 if current else -1, -1, -1):
        if current is not None and current.slots[number].failures >= MOST_FAILURES:
            effects += [
                fault(state, shard_id, Outcome.PARKED, "TRAINERS_FAILED")
                for shard_id in current.slots[number].shards
            ]
            planning.revise(context, state, current, number)
    return effects


def merge_failed(context: Context, state: State, event: MergeFailed, _at: At) -> list[Effect]:
    """Lease a slot again whose update could not be read as described.

    What the broker can bring about is held against nobody; for the rest the slot's trainer goes.
    """
    current = state.round
    if current is None or event.round != current.number or event.slot >= len(current.slots):
        return []
    _close(state, MergeEffect)
    current.merging = False
    slot = current.slots[event.slot]
    boot = slot.boot
    slot.fail()
    if boot is not None and event.code in TRAINER_S_FAULT:
        state.quarantine(boot)
    return park_failing(context, state)


def merged(context: Context, state: State, event: Merged, at: At) -> list[Effect]:
    """Commit the round's version: receipts, plan, perhaps a release."""
    current, base = state.round, state.version
    if current is None or base is None or event.round != current.number:
        return []
    _close(state, MergeEffect)
    results = [slot.result for slot in current.slots if slot.result is not None]
    state.version = Version(
        base.number + 1,
        event.ref,
        event.ref.digest,
        event.parameters,
        base.step + max(result.steps for result in results),
    )
    used = [(one, state.shard(one)) for slot in current.slots for one in slot.shards]
    fresh = [one for one in used if one[1].status is ShardStatus.ACCEPTED]
    for _, shard in used:
        state.mark(shard, ShardStatus.TRAINED)
        shard.uses += 1
    state.round = None
    state.settled = {slot.task: slot.result.digest for slot in current.slots if slot.result}
    left = disclosing.charge_progress(context, state)
    _release(context, state, used)
    plan = receipting.plan_of(state, current, base, state.version)
    return [
        *receipting.receipt(context, state, current, used, fresh, at),
        Disclose(plan),
        PublishHead(state.version.number, state.release, event.ref.pack()),
        *(disclosing.progress(context, state, current, left) if left is not None else ()),
    ]


def _release(context: Context, state: State, used: list[tuple[ShardId, Shard]]) -> None:
    """Release the version when the policy's minimum of rounds, owners and rows has come in."""
    schedule = context.policy.schedule
    last = state.finished = windows.exhausted(context, state)
    state.rows_since += sum(shard.rows for _, shard in used)
    state.owners_since = tuple(
        dict.fromkeys((*state.owners_since, *(one.owner for one, _ in used)))
    )
    due = last or state.rounds % schedule.release_every == 0
    if due and planning.enough_for_release(context, state):
        state.release += 1
        state.released = state.version
        state.rows_since, state.owners_since = 0, ()
        evaluating.plan(context, state)
