"""The bridge's way back: rows of the client's own topic are asked about, answers go to another.

Each record of the source gets one answer, in one transaction with the group's offset behind it. A
row is asked under a tag that names its place, so that asking again, after whatever end, sends the
same bytes and is charged once. Several bridges share the partitions of the source.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Final, Protocol

from chiron_stream.bridge.gathering import Refused
from chiron_stream.bridge.inquiring import Inquiry
from chiron_stream.bridge.lanes import Lane, Question
from chiron_stream.bridge.outlet import MOST_LOSSES, Outlet, reason_of
from chiron_stream.bridge.replies import Target, outcomes
from chiron_stream.bridge.sharing import SharedSource
from chiron_stream.bridge.source import SourceTopic
from chiron_stream.broker.ranges import refuse_out_of_range
from chiron_stream.broker.records import Partition, Record
from chiron_stream.errors import AnswerTimeout, NotAuthorized, WriterLost

UNDER_WAY: Final = 100
"""Rows in hand, at most, unless it is told otherwise: taken, and not answered in the topic yet."""

WRITTEN_AT_ONCE: Final = 500
DRAIN_SECONDS: Final = 10.0
"""Until a bridge that was told to end waits no longer for answers; the next start asks again."""

_LOOK: Final = 0.2
"""Seconds of rest, at most, when there is nothing to do."""


class Listener(Protocol):
    """Hears what a bridge does."""

    def opened(self, place: Partition, front: int) -> None:
        """Hear from where on a partition is answered by this bridge."""
        ...

    def written(
        self, place: Partition, last: int, answers: int, refused: Sequence[Refused]
    ) -> None:
        """Hear of a transaction: answers and refusals up to an offset are there."""
        ...

    def late(self, record: Record, error: AnswerTimeout) -> None:
        """Hear of a row whose answer is long in coming; it was asked again."""
        ...


class AnswerBridge:
    """Asks about the rows of a source and writes the answers, until it is stopped.

    :param inquiry: asks; its client is connected.
    :param source: all partitions of it.
    :param under_way: rows in hand, at most.
    """

    def __init__(
        self,
        inquiry: Inquiry,
        source: SourceTopic,
        target: Target,
        group: str,
        listener: Listener,
        under_way: int = UNDER_WAY,
    ) -> None:
        self._inquiry = inquiry
        self._source = source
        self._target = target
        self._group = group
        self._listener = listener
        self._under_way = under_way
        self._lanes: dict[Partition, Lane] = {}
        self._outlets: dict[Partition, Outlet] = {}
        self._changed = threading.Event()

    def run(self, stop: threading.Event, *, to_the_end: bool = False) -> None:
        """Answer until ``stop`` is set, or until all that stands in the source now is answered.

        :raises ChironError: what ends the bridge; every answer that was written stands.
        """
        ends = self._source.ends() if to_the_end else None
        with ExitStack() as stack:
            stack.callback(self._leave, frozenset[Partition]())
            made = self._source.servers, self._source.properties, self._source.topic
            source = SharedSource(*made, self._group, self._changed.set)
            stack.callback(source.close)
            while not stop.is_set():
                self._changed.clear()
                if self._turn(source):
                    continue
                if ends is not None and not self._lanes_in_hand and self._is_answered(ends):
                    return
                self._changed.wait(_LOOK)
            self._drain(source)

    def _turn(self, source: SharedSource) -> bool:
        """Take, ask, write and ask again; tell whether there was anything to do."""
        records = source.taken(max(0, self._under_way - self._lanes_in_hand))
        assigned = source.assigned
        self._leave(assigned)
        for record in records:
            if record.partition in assigned:
                self._lane(record).take(record)
        asked = self._ask()
        written = self._write(source)
        self._ask_late()
        return bool(records) or asked or written

    @property
    def _lanes_in_hand(self) -> int:
        return sum(map(len, self._lanes.values()))

    def _leave(self, assigned: frozenset[Partition]) -> None:
        """Let go of partitions that are others' by now; what is in hand is theirs to ask."""
        for place in self._lanes.keys() - assigned:
            self._lanes.pop(place).give_up()
            self._outlets.pop(place).close()

    def _lane(self, record: Record) -> Lane:
        """Return a record's lane; a new one begins where the group stands, whatever came first."""
        place = record.partition
        if place not in self._lanes:
            outlet = self._outlets[place] = Outlet(self._source.broker, self._group, place)
            self._lanes[place] = Lane(0)
            self._restart(place, self._lanes[place], outlet, record.offset)
        lane = self._lanes[place]
        if record.offset > lane.next:
            self._refuse_gap(place, lane)
        return lane

    def _restart(self, place: Partition, lane: Lane, outlet: Outlet, first: int) -> None:
        """Become the one who answers a partition, from where the group stands on."""
        committed, marks = outlet.open(), self._source.broker.watermarks(place)
        front = marks.low if committed is None else committed
        refuse_out_of_range(place, front, marks)
        passed_over = self._source.records(place.number, front, first) if front < first else ()
        lane.restart(front, passed_over)
        self._listener.opened(place, front)

    def _refuse_gap(self, place: Partition, lane: Lane) -> None:
        """See that records that did not come were none, and are not gone.

        :raises Withheld: the topic's retention has removed them.
        """
        known = max(lane.next, self._outlets[place].committed() or 0)
        refuse_out_of_range(place, known, self._source.broker.watermarks(place))

    def _ask(self) -> bool:
        """Ask about what waits, as far as there is room."""
        room = self._under_way - sum(lane.open for lane in self._lanes.values())
        asked = 0
        for lane in self._lanes.values():
            while asked < room and lane.ask(self._question):
                asked += 1
        return asked > 0

    def _question(self, record: Record) -> Question:
        return self._inquiry.ask(record, self._changed.set)

    def _write(self, source: SharedSource) -> bool:
        """Write what is settled; tell whether anything was."""
        found = [self._write_lane(place, source) for place in list(self._lanes)]
        return any(found)

    def _write_lane(self, place: Partition, source: SharedSource) -> bool:
        lane = self._lanes.get(place)
        settled = [] if lane is None else lane.settled(WRITTEN_AT_ONCE)
        if lane is None or not settled:
            return False
        pairs = outcomes(settled)
        last = pairs[-1][0].offset
        try:
            self._outlets[place].write([self._target.record(*pair) for pair in pairs], last + 1)
        except WriterLost as error:
            self._lost(place, lane, error, source)
            return True
        lane.written(len(pairs))
        refused = [found for _, found in pairs if isinstance(found, Refused)]
        self._listener.written(place, last, len(pairs) - len(refused), refused)
        return True

    def _lost(self, place: Partition, lane: Lane, error: WriterLost, source: SharedSource) -> None:
        """Go on behind what is there of a transaction, if the partition still is ours."""
        lane.losses += 1
        reason = reason_of(error, NotAuthorized)
        if lane.losses > MOST_LOSSES or reason is not error:
            raise reason from error
        assigned = source.assigned
        if place not in assigned:
            self._leave(assigned)
            return
        first = lane.first
        assert first is not None  # noqa: S101  (what was to be written is in hand)
        self._restart(place, lane, self._outlets[place], first)

    def _ask_late(self) -> None:
        """Send the bytes of late questions again, and tell of one of them."""
        now = time.monotonic()
        late = [one for lane in self._lanes.values() for one in lane if one.is_late(now)]
        for one in late:
            self._inquiry.again(one)
        if late:
            self._listener.late(late[0].record, self._inquiry.why(now - late[0].since))

    def _drain(self, source: SharedSource) -> None:
        """Write the answers that are under way, for a while; ask about nothing more."""
        deadline = time.monotonic() + DRAIN_SECONDS
        while any(lane.open or lane.settled(1) for lane in self._lanes.values()):
            self._changed.clear()
            self._leave(source.assigned)
            if not self._write(source):
                if time.monotonic() > deadline:
                    return
                self._changed.wait(_LOOK)

    def _is_answered(self, ends: Mapping[int, int]) -> bool:
        """Tell whether the group, of which this bridge is one, is behind all that was there."""
        broker = self._source.broker
        places = {self._source.place(number): end for number, end in ends.items()}
        stands = broker.administration().group_offsets(self._group, places)
        for place, end in places.items():
            front = stands.get(place)
            low = broker.watermarks(place).low if front is None else front
            if not self._source.is_empty(place.number, low, end):
                return False
        return True
