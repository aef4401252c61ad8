"""Releases to predictors, and grants of answers."""

from __future__ import annotations

from chiron_stream.wire import labels
from chiron_stream.wire.crypto import derive
from chiron_stream.wire.serving import Grant
from chiron_stream.wire.session import Purpose
from chiron_stream.wire.tasks import Serve
from chiron_stream.wire.workers import GrantRequest
from enclave_workers.core.coordinator import leasing
from enclave_workers.core.coordinator.effects import Broadcast, Effect
from enclave_workers.core.coordinator.state import At, Context, State


def predictors_key(context: Context) -> bytes:
    """Return the key of the ``sessions`` topic."""
    return derive(context.key, labels.K_PREDICTORS)


def serve(context: Context, state: State) -> list[Effect]:
    """Tell every live predictor that serves an older release, or none, what to serve."""
    released, recipe = state.released, state.recipe
    if released is None or recipe is None:
        return []
    effects: list[Effect] = []
    for boot in state.live("predictor"):
        worker = state.workers[boot]
        if worker.served < state.release:
            worker.served = state.release
            body = Serve(
                release=state.release,
                version=released.number,
                checkpoint=state.release_checkpoint,
                definition=leasing.definition(state, recipe),
                state=leasing.version_object(context, released),
                sessions_key=predictors_key(context),
            )
            effects.append(leasing.tell(state, boot, body))
    return effects


def grant(
    context: Context, state: State, boot: bytes, request: GrantRequest, at: At
) -> list[Effect]:
    """Charge an identity and grant a boot some answers of its session; 0 when none are left."""
    session = state.sessions.get(request.session)
    if session is None or session.purpose is not Purpose.QUERY:
        return []
    disclosure = context.policy.disclosure
    used = state.ledger.get(session.identity, 0)
    count = min(disclosure.grant_size, disclosure.answers_per_client - used)
    state.ledger[session.identity] = used + count
    key = request.session + boot
    state.granted[key] = state.granted.get(key, 0) + count
    left = disclosure.answers_per_client - used - count
    body = Grant(request.session, boot, count, left, at.index, at.head)
    return [Broadcast(at.index, 0, body)]
