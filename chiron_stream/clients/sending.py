"""What one publishing session sends: records of shards, and what it says of them on ``control``.

A shard is announced when the broker has acknowledged all its records, and announcements stand in
order. While the broker is away nothing is lost: whatever it has not acknowledged is kept, and sent
again, the same bytes, when it is back. A record that comes twice says nothing new.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, TypeVar

from chiron_stream.broker.records import Outgoing
from chiron_stream.broker.seam import Delivery
from chiron_stream.errors import BrokerUnreachable, ChironError, Timeout
from chiron_stream.wire.control import (
    FIRST_COUNTER,
    Announcement,
    Body,
    chain_next,
    chain_start,
    seal_control,
)

if TYPE_CHECKING:
    from chiron_stream.clients.party import OpenSession, Party

T = TypeVar("T")

UNDER_WAY: Final = 16
"""Shards sent and not yet announced, at most."""

UNDER_WAY_BYTES: Final = 32 * 1024 * 1024
"""Bytes of such shards, where there are two or more."""

PAUSE: Final = 0.5
"""Seconds between two attempts to reach a broker that is away."""

AWAY: Final = (Timeout, BrokerUnreachable)
"""What a broker that is away looks like."""


@dataclass
class _Pending:
    """A shard that is not announced: its records, and what became of each."""

    records: tuple[Outgoing, ...]
    announcement: Announcement
    announced: Callable[[], None]
    deliveries: list[Delivery]

    @property
    def size(self) -> int:
        """Bytes of its records."""
        return sum(len(one.value) for one in self.records)


@dataclass
class _Said:
    """A record on ``control`` that the broker has not acknowledged, as far as we looked."""

    record: Outgoing
    delivery: Delivery


class Sending:
    """The sending side of a session.

    :param patience: seconds that the broker may be away, each time.
    :param check: called with what went wrong before anything is sent again; raises where nothing
        may be.
    """

    def __init__(
        self,
        party: Party,
        session: OpenSession,
        patience: float,
        check: Callable[[ChironError], None],
    ) -> None:
        self._party = party
        self._keys = session.keys
        self._patience = patience
        self._check = check
        self._chain = chain_start(session.record)
        self._pending: deque[_Pending] = deque()
        self._said: deque[_Said] = deque()
        self.counter = FIRST_COUNTER

    def shard(
        self, records: tuple[bytes, ...], said: Announcement, announced: Callable[[], None]
    ) -> None:
        """Send a shard; it is announced, in its turn, when the broker has all of it.

        :param said: its announcement; where its first record is, is filled in.
        :param announced: called then.
        :raises Timeout: the broker was away for too long; also :class:`BrokerUnreachable`.
        """
        place = self._party.partition("shards", said.partition)
        outgoing = tuple(Outgoing(place, one, self._keys.session) for one in records)
        pending = _Pending(outgoing, said, announced, [])
        self._pending.append(pending)
        self._persist(lambda: self._hand_over(pending))
        while len(self._pending) > UNDER_WAY or self._is_much:
            self._announce_next()

    @property
    def _is_much(self) -> bool:
        under_way = sum(one.size for one in self._pending)
        return len(self._pending) > 1 and under_way > UNDER_WAY_BYTES

    def _hand_over(self, pending: _Pending) -> None:
        """Give the producer those records of a shard that it does not have."""
        for record in pending.records[len(pending.deliveries) :]:
            pending.deliveries.append(self._party.producer.send(record))

    def announce_ready(self) -> None:
        """Announce, in order, the shards that the broker has by now; wait for none."""
        while self._pending and all(one.done for one in self._pending[0].deliveries):
            self._announce_next()
        self._settle(wait=False)

    def _announce_next(self) -> None:
        pending = self._pending[0]
        offsets = self._persist(lambda: [one.result().offset for one in pending.deliveries])
        self._pending.popleft()
        self.say(replace(pending.announcement, first=min(offsets)))
        pending.announced()

    def say(self, body: Body) -> None:
        """Send a control record behind those before it.

        :raises Timeout: the broker was away for too long; also :class:`BrokerUnreachable`.
        """
        keys = self._keys
        record = seal_control(keys.control, keys.session, self.counter, self._chain, body)
        self._chain = chain_next(self._chain, record)
        self.counter += 1
        outgoing = Outgoing(self._party.partition("control"), record, keys.session)
        self._persist(lambda: self._speak(outgoing))
        self._settle(wait=False)

    def _speak(self, record: Outgoing) -> None:
        self._said.append(_Said(record, self._party.producer.send(record)))

    def announce_all(self) -> None:
        """Announce every shard, as soon as the broker has all of it; errors as of :meth:`shard`."""
        while self._pending:
            self._announce_next()

    def settle(self) -> None:
        """Wait until the broker has taken all that was said; errors as of :meth:`shard`."""
        self._settle(wait=True)

    def _settle(self, *, wait: bool) -> None:
        """See that the broker has taken what was said on ``control``, all of it or so far."""
        while self._said and (wait or self._said[0].delivery.done):
            self._persist(self._oldest_is_taken)
            self._said.popleft()

    def _oldest_is_taken(self) -> None:
        self._said[0].delivery.result()

    def _persist(self, act: Callable[[], T]) -> T:
        """Do something; while the broker is away, send again what it has not acknowledged."""
        deadline: float | None = None
        while True:
            try:
                if deadline is not None:
                    self._send_again()
                return act()
            except AWAY as error:
                deadline = deadline or time.monotonic() + self._patience
                self._check(error)
                if time.monotonic() >= deadline:
                    raise
                time.sleep(PAUSE)

    def _send_again(self) -> None:
        """Send the same bytes once more, in the same order, by a producer that knows of none.

        What is still under way with the earlier one may appear too.
        """
        self._party.renew_producer()
        missing = next((n for n, one in enumerate(self._said) if not _taken(one.delivery)), None)
        if missing is not None:
            for said in list(self._said)[missing:]:
                said.delivery = self._party.producer.send(said.record)
        for pending in self._pending:
            pending.deliveries.clear()
            self._hand_over(pending)


def _taken(delivery: Delivery) -> bool:
    """Tell whether the broker has acknowledged a record by now."""
    if not delivery.done:
        return False
    try:
        delivery.result()
    except AWAY:
        return False
    return True
