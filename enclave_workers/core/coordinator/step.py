"""``step(context, state, event, at) -> state, effects``: the coordinator as a function.

No clock, randomness, I/O, torch or tensors: the same events in the same order give the same state,
byte for byte. The state given is consumed. Invariants:

* (owner, data set, number) enters the plan exactly as often as planned, whatever was announced
  twice, parked or replaced.
* A control record is taken once, in order, from an admitted session that still holds its claim.
* An identity's answers are charged when they are granted, and never refunded.
* A round's version is committed before the next round is planned.
* What must still happen outside stands in ``state.open_effects`` until its event comes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from enclave_workers.core.coordinator import (
    announcing,
    joining,
    leasing,
    opening,
    planning,
    rounds,
    serving,
)
from enclave_workers.core.coordinator.effects import Effect
from enclave_workers.core.coordinator.events import (
    Acknowledging,
    Activated,
    Controlled,
    Event,
    ImportDone,
    ImportFailed,
    Joined,
    Lost,
    Merged,
    MergeFailed,
    Opened,
    OpenRefused,
    Reported,
    Retried,
    Snapshotted,
    Source,
    Waited,
    Welcomed,
)
from enclave_workers.core.coordinator.state import At, Context, State

Handler = Callable[[Context, State, Any, At], list[Effect]]


def _activated(_context: Context, state: State, event: Activated, _at: At) -> list[Effect]:
    state.epoch = event.epoch
    return []


def _snapshotted(_context: Context, _state: State, _event: Snapshotted, _at: At) -> list[Effect]:
    return []


def _waited(_context: Context, state: State, event: Waited, _at: At) -> list[Effect]:
    state.due = max(state.due, event.arrivals)
    return []


HANDLERS: Final[dict[type[Event], Handler]] = {
    Activated: _activated,
    Opened: opening.opened,
    OpenRefused: opening.refused,
    Controlled: announcing.controlled,
    Acknowledging: announcing.acknowledging,
    Joined: joining.joined,
    Welcomed: joining.welcomed,
    Lost: joining.lost,
    Reported: joining.reported,
    ImportDone: rounds.import_done,
    ImportFailed: rounds.import_failed,
    Merged: rounds.merged,
    MergeFailed: rounds.merge_failed,
    Snapshotted: _snapshotted,
    Waited: _waited,
    Retried: leasing.retried,
}


def step(context: Context, state: State, event: Event, at: At) -> tuple[State, list[Effect]]:
    """Return the state behind ``event``, and what it wants done.

    :param state: consumed: the one returned takes its place.
    :param at: where in the journal the event stands.
    """
    source = getattr(event, "source", None)
    if isinstance(source, Source):
        note_position(state, source)
    effects = HANDLERS[type(event)](context, state, event, at)
    effects += planning.advance(context, state)
    effects += serving.serve(context, state)
    return state, effects


def note_position(state: State, source: Source) -> None:
    """Remember where reading goes on behind ``source``."""
    place = f"{source.topic}/{source.partition}"
    state.positions[place] = max(source.offset + 1, state.positions.get(place, 0))
