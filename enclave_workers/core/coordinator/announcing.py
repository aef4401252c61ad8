"""Control records of admitted sessions: shards, fins, the recipe."""

from __future__ import annotations

from typing import Final

from chiron_stream.errors import ChironError, TamperDetected
from chiron_stream.wire.control import (
    Announcement,
    Body,
    ControlRecord,
    Fin,
    RecipeManifest,
    Use,
    chain_next,
    open_control,
    read_header,
)
from chiron_stream.wire.receipts import Conflict, shard_leaf
from chiron_stream.wire.replies import Acknowledged, Refusal
from chiron_stream.wire.session import Purpose
from enclave_workers.core.coordinator import evaluating, windows
from enclave_workers.core.coordinator.effects import Contradict, Effect
from enclave_workers.core.coordinator.events import Acknowledging, Controlled
from enclave_workers.core.coordinator.opening import keys_of, reply
from enclave_workers.core.coordinator.state import (
    At,
    Context,
    DataSetState,
    ImportEffect,
    Recipe,
    Session,
    Shard,
    ShardStatus,
    State,
)

MAX_SHARD_ROWS = 10_000_000
"""Rows that one announcement may claim."""

RECIPES: Final = ("bulk", 0)
"""Topic and partition of recipes: reading anywhere else could end the coordinator."""


def read_controlled(state: State, data: bytes) -> tuple[bytes, Body]:
    """Return session and body of the control record that its session is waiting for.

    :raises TamperDetected: the code says why it cannot be taken: UNKNOWN_SESSION, SUPERSEDED,
        REPEAT, SEQUENCE, CHAIN, DOES_NOT_OPEN.
    """
    record = ControlRecord.unpack(data)
    header = read_header(record)
    session = state.sessions.get(header.session)
    if session is None:
        raise TamperDetected("a control record of no session", code="UNKNOWN_SESSION")
    if not session.open:
        raise TamperDetected("a control record of a closed session", code="SUPERSEDED")
    if header.counter < session.next_counter:
        raise TamperDetected("a control record that was taken before", code="REPEAT")
    body = open_control(
        keys_of(header.session, session).control,
        record,
        session=header.session,
        counter=session.next_counter,
        previous=session.chain,
    )
    return header.session, body


def controlled(context: Context, state: State, event: Controlled, at: At) -> list[Effect]:
    """Take one control record; what it says may still be refused, which its sender is told."""
    session_id, body = read_controlled(state, event.record)
    session = state.sessions[session_id]
    counter = session.next_counter
    session.next_counter += 1
    session.chain = chain_next(session.chain, event.record)
    session.acknowledge = True
    try:
        return _take(context, state, session_id, body)
    except _Refused as error:
        refusal = Refusal(counter, error.code, error.message)
        session.refusals = (*session.refusals, refusal)
        return [_contradict(context, state, error, at)] if isinstance(error, _Conflicting) else []


def acknowledging(_context: Context, state: State, _event: Acknowledging, _at: At) -> list[Effect]:
    """Acknowledge, once a batch and session, everything taken so far."""
    effects: list[Effect] = []
    for session_id, session in state.sessions.items():
        if session.acknowledge:
            body = Acknowledged(session.next_counter, session.refusals)
            session.acknowledge, session.refusals = False, ()
            effects.append(reply(state, session_id, body))
    return effects


class _Refused(ChironError):
    """A control record that was understood and is not taken."""


class _Conflicting(_Refused):
    """Another content under a shard's number, for the first time: both are receipted."""

    def __init__(self, message: str, first: bytes, second: bytes) -> None:
        super().__init__(message, code="CONFLICT")
        self.first = first
        self.second = second


def _contradict(context: Context, state: State, error: _Conflicting, at: At) -> Contradict:
    conflict = Conflict(
        job=context.job,
        policy_version=context.policy.version,
        policy_head=context.head,
        epoch=state.epoch,
        index=at.index,
        journal_head=at.head,
        first=error.first,
        second=error.second,
    )
    return Contradict(conflict)


def _take(context: Context, state: State, session_id: bytes, body: Body) -> list[Effect]:
    session = state.sessions[session_id]
    wanted = Purpose.RECIPE if isinstance(body, RecipeManifest) else Purpose.PUBLISH
    if session.purpose is not wanted:
        raise _Refused("not what this session is for", code="PURPOSE")
    if isinstance(body, RecipeManifest):
        return _import(context, state, session_id, body)
    data_set = _claimed(state, session_id, session)
    if isinstance(body, Fin):
        _fin(data_set, body)
    else:
        _announce(context, state, data_set, session_id, body)
    return []


def _claimed(state: State, session_id: bytes, session: Session) -> DataSetState:
    data_set = state.data_set(session.identity, session.data_set)
    if data_set is None or data_set.claim != session_id:
        raise _Refused("this session has no claim of a data set", code="CLAIM")
    return data_set


def _announce(
    context: Context, state: State, data_set: DataSetState, session_id: bytes, body: Announcement
) -> None:
    if not 0 < body.rows <= MAX_SHARD_ROWS:
        raise _Refused(f"a shard has 1 to {MAX_SHARD_ROWS} rows", code="ROWS")
    known = data_set.shards.get(body.number)
    if known is None:
        _check_next(data_set, body)
        _check_room(state, data_set, body)
        data_set.count += 1
    elif known.status is not ShardStatus.PARKED:
        if known.digest == body.digest and known.session == session_id:
            return
        raise _conflict(session_id, known, body)
    elif known.use is not body.use:
        raise _Refused(f"shard {body.number} was announced for another use", code="USE")
    state.keep(data_set, body.number, _shard(session_id, body))
    evaluating.arrived(state, data_set, body.number)
    windows.arrived(context, state, data_set, body.number)


def _conflict(session_id: bytes, known: Shard, body: Announcement) -> _Refused:
    """Return the refusal of another content; a shard's first conflict is receipted, no further."""
    message = f"shard {body.number} was announced before with other content"
    if known.contradicted:
        return _Refused(message, code="CONFLICT")
    known.contradicted = True
    first = shard_leaf(known.session, body.number, known.digest)
    return _Conflicting(message, first, shard_leaf(session_id, body.number, body.digest))


def _check_next(data_set: DataSetState, body: Announcement) -> None:
    if body.number < data_set.count:
        raise _Refused(f"shard {body.number} has been trained on", code="SETTLED")
    if data_set.fin is not None:
        raise _Refused(f"the data set ended with {data_set.fin} shards", code="AFTER_FIN")
    if body.number != data_set.count:
        raise _Refused(f"the next shard is number {data_set.count}", code="GAP")


def _check_room(state: State, data_set: DataSetState, body: Announcement) -> None:
    if body.use is Use.EVALUATE and evaluating.full(state, data_set.owner):
        most = evaluating.OWNER_SHARDS
        raise _Refused(f"an owner has at most {most} shards for evaluation", code="HOLDOUT")


def _shard(session_id: bytes, body: Announcement) -> Shard:
    return Shard(
        session=session_id,
        rows=body.rows,
        use=body.use,
        records=body.records,
        digest=body.digest,
        partition=body.partition,
        first=body.first,
        token=body.token,
    )


def _fin(data_set: DataSetState, body: Fin) -> None:
    if data_set.fin is not None and data_set.fin != body.shards:
        raise _Refused(f"the data set ended with {data_set.fin} shards", code="AFTER_FIN")
    if body.shards != data_set.count:
        raise _Refused(f"{data_set.count} shards are accepted", code="GAP")
    data_set.fin = body.shards


def _import(
    _context: Context, state: State, session_id: bytes, body: RecipeManifest
) -> list[Effect]:
    if state.recipe is not None and not state.recipe.refused:
        raise _Refused("the job has its recipe", code="RECIPE_TAKEN")
    if any((one.topic, one.partition) != RECIPES for one in (body.definition, body.weights)):
        raise _Refused(f"recipes are on {RECIPES[0]}, partition {RECIPES[1]}", code="PLACE")
    state.recipe = Recipe(session_id, body)
    effect = ImportEffect(body, session_id)
    state.open_effects = (*state.open_effects, effect)
    return [effect]
