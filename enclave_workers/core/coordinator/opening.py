"""Sessions: who is admitted, and what a publisher's claim does."""

from __future__ import annotations

from typing import Final

from chiron_stream.job.policy import Role, member
from chiron_stream.wire.control import FIRST_COUNTER, chain_start
from chiron_stream.wire.replies import Accept, Acknowledged, Parked, Refusal, Reply, Superseded
from chiron_stream.wire.serving import QuerySession
from chiron_stream.wire.session import (
    Hello,
    Purpose,
    SessionKeys,
    SessionOpen,
    admit,
    read_hello,
)
from enclave_workers.core.coordinator.effects import Broadcast, Effect, RefuseSession, ReplyTo
from enclave_workers.core.coordinator.events import Opened, OpenRefused
from enclave_workers.core.coordinator.state import (
    At,
    Context,
    DataSetState,
    Session,
    ShardStatus,
    State,
)

PURPOSE_ROLES: Final = {
    Purpose.PUBLISH: (Role.OWNER,),
    Purpose.RECIPE: (Role.PROVIDER,),
    Purpose.QUERY: (Role.CLIENT,),
    Purpose.LISTEN: (Role.OWNER, Role.PROVIDER),
}

PARKED_LISTED: Final = 64
"""Parked shards that one Accept lists, at most: a reply is bounded. The others are for the next."""

OWNER_DATA_SETS: Final = 1024
"""Data sets of one owner, at most: their states are kept while the job lives."""

STALE: Final = "STALE"
"""A session opened to an older boot: the party looks at ``authority`` and opens another."""


def judge_open(context: Context, hello: Hello, coordinator: bytes) -> str | None:
    """Return why a signed open may not be admitted, or None.

    :param coordinator: hash of this boot's attested key document.
    """
    found = member(context.policy, hello.identity)
    if found is None or found.role not in PURPOSE_ROLES[hello.purpose]:
        return "ROSTER"
    if hello.job != context.job:
        return "JOB"
    if (hello.policy_version, hello.policy_head) != (context.policy.version, context.head):
        return "POLICY"
    return None if hello.coordinator == coordinator else STALE


def reply(state: State, session_id: bytes, body: Reply) -> ReplyTo:
    """Return the next reply to a session."""
    session = state.sessions[session_id]
    number, session.replies = session.replies, session.replies + 1
    return ReplyTo(session_id, session.prk, number, body)


def refused(_context: Context, _state: State, event: OpenRefused, _at: At) -> list[Effect]:
    """Answer an open that is not admitted."""
    return [RefuseSession(event.session, event.code)]


def opened(context: Context, state: State, event: Opened, at: At) -> list[Effect]:
    """Admit a session; one that was seen before is answered again and claims nothing."""
    record = SessionOpen.unpack(event.record)
    hello = read_hello(record)
    keys, intent = admit(record, event.secret)
    if keys.session in state.sessions:
        return [reply(state, keys.session, _accept(state, keys.session))]
    state.sessions[keys.session] = Session(
        identity=hello.identity,
        purpose=hello.purpose,
        prk=keys.prk,
        data_set=intent.data_set,
        answer_partition=hello.answer_partition,
        next_counter=FIRST_COUNTER,
        chain=chain_start(event.record),
    )
    if hello.purpose is Purpose.PUBLISH:
        return _claim(context, state, keys.session)
    if hello.purpose is Purpose.LISTEN:
        return _listen(state, keys.session)
    accepted = reply(state, keys.session, _accept(state, keys.session))
    if hello.purpose is Purpose.QUERY:
        shared = QuerySession(keys.session, keys.queries, keys.answers, hello.answer_partition)
        return [Broadcast(at.index, 0, shared), accepted]
    return [accepted]


def _listen(state: State, session_id: bytes) -> list[Effect]:
    """Tell a party everything that is kept for it, and whatever comes; the one before ends."""
    identity = state.sessions[session_id].identity
    before, effects = state.listeners.get(identity), list[Effect]()
    if before is not None:
        state.sessions[before].open = False
        effects.append(reply(state, before, Superseded(session_id)))
    state.listeners[identity] = session_id
    kept = state.told.get(identity, ())
    effects.append(reply(state, session_id, Accept(len(kept), b"", (), fin=False)))
    return [*effects, *(reply(state, session_id, one) for one in kept)]


def _claim(context: Context, state: State, session_id: bytes) -> list[Effect]:
    session = state.sessions[session_id]
    data_set = state.data_set(session.identity, session.data_set)
    if data_set is None and (refusal := _no_claim(context, state, session)) is not None:
        session.open = False
        return [reply(state, session_id, Acknowledged(FIRST_COUNTER, (refusal,)))]
    effects: list[Effect] = []
    if data_set is None:
        data_set = DataSetState(session.identity, session.data_set, session_id)
        state.data_sets = (*state.data_sets, data_set)
    elif state.sessions[data_set.claim].open:
        state.sessions[data_set.claim].open = False
        effects.append(reply(state, data_set.claim, Superseded(session_id)))
    data_set.claim = session_id
    effects.append(reply(state, session_id, _accept(state, session_id)))
    return effects


def _no_claim(context: Context, state: State, session: Session) -> Refusal | None:
    """Return why an owner may not begin a data set, or None."""
    if not context.policy.schedule.allows(session.identity, session.data_set):
        return Refusal(0, "DATA_SET", "the policy does not list this data set of yours")
    if sum(one.owner == session.identity for one in state.data_sets) >= OWNER_DATA_SETS:
        return Refusal(0, "DATA_SETS", f"an owner has at most {OWNER_DATA_SETS} data sets")
    return None


def _accept(state: State, session_id: bytes) -> Accept:
    session = state.sessions[session_id]
    data_set = state.data_set(session.identity, session.data_set)
    if session.purpose is not Purpose.PUBLISH or data_set is None:
        return Accept(0, b"", (), fin=False)
    token = data_set.token(data_set.count - 1)
    parked = tuple(
        parked_shard(data_set, number)
        for number, shard in sorted(data_set.shards.items())
        if shard.status is ShardStatus.PARKED
    )[:PARKED_LISTED]
    return Accept(data_set.count, token, parked, fin=data_set.fin is not None)


def parked_shard(data_set: DataSetState, number: int) -> Parked:
    """Return what a publisher needs to send a parked shard again."""
    shard = data_set.shards[number]
    return Parked(number, shard.token, data_set.token(number - 1), shard.reason)


def keys_of(session_id: bytes, session: Session) -> SessionKeys:
    """Return the keys of an admitted session."""
    return SessionKeys(session_id, session.prk)
