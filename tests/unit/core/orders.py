"""Holding what a coordinator made of its input topics against honest orders of arrival."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from chiron_stream.attestation.akd import AttestedKeyDocument
from chiron_stream.errors import ChironError
from chiron_stream.wire.control import ControlRecord, read_header
from chiron_stream.wire.document import kind_of
from chiron_stream.wire.session import SessionOpen
from chiron_stream.wire.workers import ReportRecord
from enclave_workers.core.coordinator.events import (
    Controlled,
    Event,
    ImportDone,
    Joined,
    Merged,
    Opened,
    Reported,
    Source,
)
from enclave_workers.core.coordinator.state import Context, ImportEffect, MergeEffect, State
from enclave_workers.core.coordinator.step import step
from tests.unit.core import desk
from tests.unit.core.arrivals import Honest
from tests.unit.core.desk import Clerk, Desk

REFUSALS: Final = {
    *("NOT_CANONICAL", "SIGNATURE", "SUITE", "ROSTER", "JOB", "POLICY", "ANSWER_PARTITION"),
    *("DOES_NOT_OPEN", "COMMITMENT", "UNKNOWN_SESSION", "SUPERSEDED", "REPEAT", "SEQUENCE"),
    *("CHAIN", "EVIDENCE", "ROLE", "UNKNOWN_BOOT"),
}
"""Every code that a record of an input topic may be refused with."""

RECORDED_EPOCH: Final = 1
"""The epoch that every recorded report was made in."""


class AnotherState(AssertionError):
    """A state that no honest order of arrival leads to."""


class HonestOrder:
    """The records that a coordinator took, as their senders made them, in the order it took them.

    :meth:`next` gives the honest event in place of the one that the coordinator journalled, and
    refuses what was never sent, what was taken before, and what its sender sends later.
    """

    def __init__(self, honest: Honest, context: Context) -> None:
        self._honest = honest
        self._context = context
        self.taken: Counter[bytes] = Counter()
        self.state = State()

    def next(self, event: Event) -> Event:
        match event:
            case Opened():
                return self._opened(event)
            case Controlled():
                return self._controlled(event)
            case Joined():
                return self._joined(event)
            case Reported():
                return self._reported(event)
            case ImportDone() | Merged():
                return self._made()
            case _:
                return event

    def _opened(self, event: Opened) -> Event:
        honest = self._honest.opens.get(SessionOpen.unpack(event.record).session)
        if honest is None:
            raise AnotherState("a session that no member opened was admitted")
        return replace(honest, source=event.source)

    def _controlled(self, event: Controlled) -> Event:
        header = read_header(ControlRecord.unpack(event.record))
        sent = self._honest.controls.get(header.session, [])
        self.taken[header.session] += 1
        if header.counter != self.taken[header.session] or header.counter > len(sent):
            raise AnotherState(f"record {header.counter} of a session was taken out of turn")
        return Controlled(event.source, sent[header.counter - 1])

    def _joined(self, event: Joined) -> Event:
        boot = AttestedKeyDocument.unpack(event.akd).boot
        if boot not in self._honest.joins:
            raise AnotherState("a boot that nobody started was welcomed")
        return replace(event, akd=self._honest.joins[boot])

    def _reported(self, event: Reported) -> Event:
        record = ReportRecord.unpack(event.record)
        sent = self._honest.reports.get(record.boot, [])
        if not self.taken[record.boot] <= record.number < len(sent):
            raise AnotherState(f"report {record.number} of a boot was taken out of turn")
        self.taken[record.boot] = record.number + 1
        return Reported(event.source, sent[record.number])

    def _made(self) -> Event:
        effect = self.state.open_effects[0]
        if isinstance(effect, ImportEffect):
            return desk.imported(effect)
        assert isinstance(effect, MergeEffect)
        return desk.merged(effect)


def packed(state: State) -> bytes:
    """Return a state's bytes without its hints where reading goes on."""
    return replace(state, positions={}).pack()


def check(
    honest: Honest, served: Desk, clerk: Clerk, refused: Mapping[tuple[str, int], str]
) -> None:
    """Demand the state of an honest order of arrival, and a named refusal of all other records.

    :raises AnotherState: it is another state, or a record's fate has no name.
    """
    order = HonestOrder(honest, clerk.context)
    journalled: set[tuple[str, int]] = set()
    for event, at in served.journalled(clerk.context):
        source = getattr(event, "source", None)
        if isinstance(source, Source):
            journalled.add((source.topic, source.offset))
        try:
            order.state, _ = step(clerk.context, order.state, order.next(event), at)
        except (ChironError, LookupError) as error:
            raise AnotherState("no honest order of arrival comes to this") from error
    if packed(order.state) != packed(clerk.state):
        raise AnotherState("the same senders, in the same order, come to another state")
    _check_sessions(honest, order, clerk.state)
    _check_fates(served, clerk.state, journalled, refused)


def _check_sessions(honest: Honest, order: HonestOrder, state: State) -> None:
    for session, known in state.sessions.items():
        taken = order.taken[session]
        if (known.next_counter, known.chain) != (taken + 1, honest.chain(session, taken)):
            raise AnotherState("a session stands behind no prefix of what its member sent")


def _check_fates(
    served: Desk,
    state: State,
    journalled: set[tuple[str, int]],
    refused: Mapping[tuple[str, int], str],
) -> None:
    for line in served.handed:
        place = line.topic, line.offset
        if place in journalled or refused.get(place) in REFUSALS:
            continue
        if place in refused or not _for_another_boot(state, line.value):
            raise AnotherState(f"{place} has no fate: {refused.get(place)}")


def _for_another_boot(state: State, value: bytes) -> bool:
    """Tell whether a record is for an earlier boot of the coordinator, or for a later one.

    An open that an earlier boot admitted has been answered; a report that names a later epoch than
    the recorded one is for whoever has that epoch.
    """
    try:
        if kind_of(value) == ReportRecord.KIND:
            return ReportRecord.unpack(value).epoch > RECORDED_EPOCH
        return SessionOpen.unpack(value).session in state.sessions
    except ChironError:
        return False
