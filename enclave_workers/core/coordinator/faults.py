"""Shards that cannot be used: VOID or PARKED, and whoever published them is told."""

from __future__ import annotations

from chiron_stream.wire.control import Use
from chiron_stream.wire.replies import ShardParked, ShardVoid
from chiron_stream.wire.workers import Outcome
from enclave_workers.core.coordinator.effects import Effect
from enclave_workers.core.coordinator.events import NAME_BYTES, cut
from enclave_workers.core.coordinator.opening import parked_shard, reply
from enclave_workers.core.coordinator.state import ShardId, ShardStatus, State


def fault(state: State, shard_id: ShardId, outcome: Outcome, reason: str) -> Effect:
    """Mark a shard as what a trainer found it to be."""
    shard = state.shard(shard_id)
    shard.reason = cut(reason, NAME_BYTES)
    data_set = state.data_set(shard_id.owner, shard_id.name)
    if outcome is Outcome.VOID or data_set is None:
        state.mark(shard, ShardStatus.VOID)
        state.void_since += shard.use is Use.TRAIN
        return reply(state, shard.session, ShardVoid(shard_id.number, reason))
    state.mark(shard, ShardStatus.PARKED)
    return reply(state, data_set.claim, ShardParked(parked_shard(data_set, shard_id.number)))
