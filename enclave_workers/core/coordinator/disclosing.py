"""What parties learn of training: granted by the policy, charged in bits, told to who listens.

Bits are charged before anything is told, in the event that makes the checkpoint, so that
checkpoints count whatever may have left; they are never refunded. What was granted is kept for a
party that listens later, which charges nothing again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from chiron_stream.job.measures import combined, void_count
from chiron_stream.job.policy import Policy, Role
from chiron_stream.wire.document import fixed, whole
from chiron_stream.wire.replies import RoundProgress, Scored
from chiron_stream.wire.workers import SlotResult
from enclave_workers.core.coordinator.effects import Effect
from enclave_workers.core.coordinator.opening import reply
from enclave_workers.core.coordinator.state import Context, Round, State

KEPT: Final = 1000
"""Reports that are kept for one party that may listen later; the oldest go."""


def provider(policy: Policy) -> bytes:
    """Return the provider's identity."""
    return next(one.identity for one in policy.roster if one.role is Role.PROVIDER)


def charge(state: State, identity: bytes, bits: int, ceiling: int) -> int | None:
    """Charge an identity, and return what is left to it; None: so many bits are not."""
    used = state.disclosed.get(identity, 0) + bits
    if used > ceiling:
        return None
    state.disclosed[identity] = used
    return ceiling - used


def charge_progress(context: Context, state: State) -> int | None:
    """Charge the provider for a report; None: the policy grants none, or none any more."""
    disclosure = context.policy.disclosure
    if not disclosure.progress_bits:
        return None
    return charge(
        state, provider(context.policy), disclosure.report_bits, disclosure.progress_ceiling
    )


def progress(context: Context, state: State, current: Round, left: int) -> list[Effect]:
    """Report a committed version to the provider; the report was charged for."""
    if state.version is None:
        raise AssertionError("a report is of a version")
    results = [slot.result for slot in current.slots if slot.result is not None]
    body = RoundProgress(
        round=current.number,
        version=state.version.number,
        loss=fixed(_mean(results, [whole(one.loss) for one in results])),
        gradient=_mean(results, [one.gradient for one in results]),
        void=void_count(state.void_since),
        left=left,
        checkpoint=state.checkpoint,
    )
    state.void_since = 0
    return tell(state, provider(context.policy), body)


def _mean(results: Sequence[SlotResult], levels: Sequence[int]) -> int:
    rows = [one.rows for one in results]
    return combined(list(zip(levels, rows, strict=True)))


def tell(state: State, identity: bytes, body: RoundProgress | Scored) -> list[Effect]:
    """Keep a report, and send it to its party if that listens."""
    state.told[identity] = (*state.told.get(identity, ()), body)[-KEPT:]
    session = state.listeners.get(identity)
    return [] if session is None else [reply(state, session, body)]
