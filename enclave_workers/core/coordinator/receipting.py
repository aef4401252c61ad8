"""Receipts of a round: its checkpoint, what owners are told, the plan as it was executed."""

from __future__ import annotations

from chiron_stream.wire import labels
from chiron_stream.wire.crypto import derive
from chiron_stream.wire.receipts import (
    Checkpoint,
    Plan,
    PlannedShard,
    PlannedSlot,
    checkpoint_hash,
    leaves_root,
    shard_leaf,
)
from chiron_stream.wire.replies import ShardTrained
from chiron_stream.wire.workers import SlotResult
from enclave_workers.core.coordinator import disclosing
from enclave_workers.core.coordinator.effects import Certify, Effect
from enclave_workers.core.coordinator.opening import reply
from enclave_workers.core.coordinator.state import (
    At,
    Context,
    Round,
    Shard,
    ShardId,
    ShardStatus,
    Slot,
    State,
    Version,
)


def receipt(
    context: Context,
    state: State,
    current: Round,
    used: list[tuple[ShardId, Shard]],
    fresh: list[tuple[ShardId, Shard]],
    at: At,
) -> list[Effect]:
    """Return the round's checkpoint, and tell whose shards entered a version for the first time.

    :param used: the round's shards, slot by slot.
    """
    leaves = tuple(shard_leaf(shard.session, one.number, shard.digest) for one, shard in used)
    checkpoint = _checkpoint(context, state, current.number, leaves, at)
    state.checkpoint = checkpoint_hash(checkpoint.pack())
    if state.released == state.version:
        state.release_checkpoint = state.checkpoint
    effects: list[Effect] = [Certify(checkpoint, leaves)]
    for one, shard in fresh:
        body = ShardTrained(one.number, checkpoint.version, state.checkpoint)
        effects.append(reply(state, shard.session, body))
    return effects


def _checkpoint(
    context: Context, state: State, number: int, leaves: tuple[bytes, ...], at: At
) -> Checkpoint:
    version = state.version
    if version is None:
        raise AssertionError("a checkpoint is of a version")
    return Checkpoint(
        job=context.job,
        policy_version=context.policy.version,
        policy_head=context.head,
        epoch=state.epoch,
        index=at.index,
        journal_head=at.head,
        round=number,
        version=version.number,
        release=state.release,
        accepted=state.accepted,
        trained=state.count(ShardStatus.TRAINED),
        void=state.count(ShardStatus.VOID),
        parked=state.count(ShardStatus.PARKED),
        finished=state.finished,
        disclosed=state.disclosed.get(disclosing.provider(context.policy), 0),
        scored=state.scores,
        root=leaves_root(leaves),
        commitment=derive(context.key, labels.K_COMMITMENT, version.number, version.digest),
        previous=state.checkpoint,
    )


def plan_of(state: State, current: Round, base: Version, version: Version) -> Plan:
    """Return the round's plan as it was executed."""
    return Plan(
        round=current.number,
        version=version.number,
        base=base.digest,
        result=version.digest,
        parameters=version.parameters,
        slots=tuple(
            _planned(state, slot, slot.result, base)
            for slot in current.slots
            if slot.result is not None
        ),
    )


def _planned(state: State, slot: Slot, result: SlotResult, base: Version) -> PlannedSlot:
    return PlannedSlot(
        slot=slot.number,
        seed=slot.seed,
        first_step=base.step,
        shards=tuple(
            PlannedShard(one.owner, one.name, one.number, state.shard(one).rows)
            for one in slot.shards
        ),
        rows=result.rows,
        steps=result.steps,
        numerics=result.numerics,
        result=result.digest,
        parameters=result.parameters,
    )
