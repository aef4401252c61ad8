"""What a job tells one party of training: in a session of its own, from the first word on.

The session says nothing and claims nothing. Whoever listens later, in another process too, is told
again what was disclosed before. A party has one such session at a time: the newest.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Generic, TypeVar

from chiron_stream import timeouts
from chiron_stream.clients.party import OpenSession, Party
from chiron_stream.errors import Fenced, PolicyRefused
from chiron_stream.wire.replies import Reply, RoundProgress, Scored, Superseded
from chiron_stream.wire.session import Purpose

R = TypeVar("R", RoundProgress, Scored)

_LOOK: float = 0.5
"""Seconds of one look at the broker."""


class Listener(Generic[R]):
    """Keeps what was heard, so that it can be gone through again.

    :param kind: of the replies that are wanted.
    """

    def __init__(self, party: Party, kind: type[R]) -> None:
        self._party = party
        self._kind: type[R] = kind
        self._session: OpenSession | None = None
        self._heard: list[R] = []

    def reports(self, timeout: float) -> Iterator[R]:
        """Yield everything so far, then what comes, until nothing came for ``timeout`` seconds.

        :raises Fenced: SUPERSEDED: another process of this identity listens now.
        :raises Timeout: the coordinator did not admit the session, or withholds what it promised.
        """
        session = self._session = self._session or self._open()
        place, end = 0, time.monotonic() + timeout
        while True:
            while place < len(self._heard):
                yield self._heard[place]
                place, end = place + 1, time.monotonic() + timeout
            left = end - time.monotonic()
            if left <= 0 and session.replies.caught_up and place == len(self._heard):
                return
            for reply in session.replies.poll(min(_LOOK, max(left, 0.01))):
                self._take(reply)

    def _open(self) -> OpenSession:
        return self._party.open(purpose=Purpose.LISTEN, timeout=timeouts.SESSION)

    def _take(self, reply: Reply) -> None:
        if isinstance(reply, Superseded):
            raise Fenced(
                "another session of this identity listens now",
                code="SUPERSEDED",
                hint="listen in one process at a time",
            )
        if isinstance(reply, self._kind):
            self._heard.append(reply)

    def close(self) -> None:
        """Stop listening."""
        if self._session is not None:
            self._session.replies.close()


class ListeningParty(Party, Generic[R]):
    """A party that may be told of training, if the policy grants it something."""

    _reports: type[R]
    """What it is told."""

    _listener: Listener[R] | None = None

    def _listen(self, granted: int, timeout: float) -> Iterator[R]:
        """Yield what was told so far, then what comes, as :meth:`Listener.reports`.

        :param granted: by the policy; 0 is nothing.
        :raises PolicyRefused: the policy grants nothing.
        """
        if not granted:
            kind = self._reports.__name__
            raise PolicyRefused(
                f"the policy grants the {self.role.name.lower()} nothing of this: {kind}",
                code="NOT_GRANTED",
            )
        self._listener = self._listener or Listener(self, self._reports)
        return self._listener.reports(timeout)

    def close(self) -> None:
        """Disconnect."""
        if self._listener is not None:
            self._listener.close()
        super().close()
