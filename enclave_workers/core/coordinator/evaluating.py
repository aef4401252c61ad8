"""Evaluations: a release on the rows that one owner announced for that, by a trainer that is idle.

Which shards are in is a function of the log: those that were accepted when the release was made,
without what turned out to be VOID or PARKED. Training goes first; an evaluation that has waited for
a whole round goes before the slots of the next. Parameters never depend on any of this.
"""

from __future__ import annotations

from typing import Final

from chiron_stream.job.measures import largest_score, score_bits
from chiron_stream.job.policy import Role
from chiron_stream.wire import labels
from chiron_stream.wire.control import Use
from chiron_stream.wire.crypto import sha256
from chiron_stream.wire.document import fixed, whole
from chiron_stream.wire.replies import Scored
from chiron_stream.wire.tasks import EvaluateTask
from chiron_stream.wire.workers import Evaluated, Outcome
from enclave_workers.core.coordinator import disclosing, leasing, windows
from enclave_workers.core.coordinator.effects import Effect
from enclave_workers.core.coordinator.faults import fault
from enclave_workers.core.coordinator.state import (
    Context,
    DataSetState,
    Evaluation,
    ShardId,
    ShardStatus,
    State,
)

OWNER_SHARDS: Final = 1024
"""Shards of one owner that are for evaluation, at most: one task names them all."""


def full(state: State, owner: bytes) -> bool:
    """Tell whether an owner has as many shards for evaluation as it may."""
    return len(state.holdout.get(owner, ())) >= OWNER_SHARDS


def arrived(state: State, data_set: DataSetState, number: int) -> None:
    """Take in a shard for evaluation; one that was announced before keeps its place."""
    shard_id = ShardId(data_set.owner, data_set.name, number)
    if data_set.shards[number].use is Use.EVALUATE:
        known = state.holdout.get(data_set.owner, ())
        if shard_id not in known:
            state.holdout[data_set.owner] = (*known, shard_id)


def plan(context: Context, state: State) -> None:
    """Open the evaluations of a new release, each charged with the bits of its score."""
    every = context.policy.disclosure.score_every
    if not every or not (state.finished or state.release % every == 0):
        return
    for one in context.policy.roster:
        if one.role is Role.OWNER:
            _plan(context, state, one.identity)


def _plan(context: Context, state: State, owner: bytes) -> None:
    held = state.holdout.get(owner, ())
    shards = tuple(one for one in held if state.shard(one).status is ShardStatus.ACCEPTED)
    if not shards or state.released is None:
        return
    rows = windows.rows_of(state, shards)
    bits = score_bits(context.policy.schema.target, rows)
    left = disclosing.charge(state, owner, bits, context.policy.disclosure.score_ceiling)
    if left is None:
        return
    task = _task_id(context, owner, state.release, 0)
    made = Evaluation(task, owner, state.release, state.released, state.rounds, shards, rows, left)
    state.evaluations = (*state.evaluations, made)
    state.scores += 1


def _task_id(context: Context, owner: bytes, release: int, revision: int) -> bytes:
    numbers = (n.to_bytes(8, "big") for n in (release, revision))
    return sha256(labels.EVALUATION, context.job, owner, *numbers)


def lease(context: Context, state: State, *, overdue: bool) -> list[Effect]:
    """Lease open evaluations to trainers that are idle.

    :param overdue: only those that have waited for a whole round.
    """
    if not overdue and state.round is not None and state.round.merging:
        return []  # the next round's slots come in a moment
    idle = leasing.idle(state)
    effects: list[Effect] = []
    for one in state.evaluations:
        if not idle:
            break
        if one.boot is None and not one.held and not (overdue and state.rounds < one.round + 2):
            one.give(idle.pop(0))
            effects.append(_tell(context, state, one))
    return effects


def _tell(context: Context, state: State, one: Evaluation) -> Effect:
    if state.recipe is None or one.boot is None:
        raise AssertionError("a release has a recipe, a lease a boot")
    body = EvaluateTask(
        task=one.task,
        release=one.release,
        definition=leasing.definition(state, state.recipe),
        state=leasing.version_object(context, one.version),
        shards=tuple(leasing.grant(state, shard) for shard in one.shards),
    )
    return leasing.tell(state, one.boot, body)


def evaluated(context: Context, state: State, boot: bytes, result: Evaluated) -> list[Effect]:
    """Take what a trainer found; of a task that is done or changed, nothing."""
    for one in state.evaluations:
        if one.task == result.task:
            if boot in one.holders:
                return _take(context, state, one, boot, result)
            state.quarantine(boot)
    return []


def _take(
    context: Context, state: State, one: Evaluation, boot: bytes, result: Evaluated
) -> list[Effect]:
    if result.outcome is not Outcome.TRAINED:
        return _take_faults(context, state, one, result)
    if not _credible(context, state, one, result):
        state.quarantine(boot)
        return park_failing(context, state)
    state.evaluations = tuple(other for other in state.evaluations if other is not one)
    rows, left = fixed(one.rows), fixed(one.left)
    body = Scored(one.release, one.version.number, rows, result.value, left)
    return disclosing.tell(state, one.owner, body)


def _credible(context: Context, state: State, one: Evaluation, result: Evaluated) -> bool:
    return (
        result.rows == one.rows
        and whole(result.value) <= largest_score(context.policy.schema.target, one.rows)
        and state.numerics in ("", result.numerics)
    )


def _take_faults(
    context: Context, state: State, one: Evaluation, result: Evaluated
) -> list[Effect]:
    found = {
        one.shards[each.place]: each.reason
        for each in result.faults
        if each.place < len(one.shards)
    }
    if not found:
        one.fail()
        return park_failing(context, state)
    effects = [fault(state, shard, result.outcome, reason) for shard, reason in found.items()]
    _leave_out(context, state, set(found))
    return effects


def park_failing(context: Context, state: State) -> list[Effect]:
    """Park the shards of each evaluation whose trainers failed too often."""
    effects: list[Effect] = []
    for one in state.evaluations:
        if one.failures >= leasing.MOST_FAILURES:
            usable = [x for x in one.shards if state.shard(x).status is ShardStatus.ACCEPTED]
            effects += [fault(state, x, Outcome.PARKED, "TRAINERS_FAILED") for x in usable]
    gone = {
        shard
        for one in state.evaluations
        if one.failures >= leasing.MOST_FAILURES
        for shard in one.shards
    }
    _leave_out(context, state, gone)
    return effects


def _leave_out(context: Context, state: State, gone: set[ShardId]) -> None:
    """Make new tasks of the evaluations that have one of these shards; those left empty end."""
    for one in state.evaluations:
        if gone.intersection(one.shards):
            one.shards = tuple(shard for shard in one.shards if shard not in gone)
            one.rows = windows.rows_of(state, one.shards)
            one.revision += 1
            one.task = _task_id(context, one.owner, one.release, one.revision)
            one.boot, one.holders, one.held = None, (), False
    state.evaluations = tuple(one for one in state.evaluations if one.shards)
