"""What a predictor boot may answer: sessions, grants, and the answers it has given."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from chiron_stream.errors import TamperDetected
from chiron_stream.wire.serving import Grant, QueryName, QuerySession

KEPT_ANSWERS: Final = 10_000
"""Answers of this boot that are kept, to be sent again for the same query bytes."""


@dataclass
class Allowance:
    """What is left of a session's grants to this boot, and of its identity's ceiling."""

    count: int = 0
    left: int = 0
    asked: bool = False
    exhausted: bool = False


@dataclass(frozen=True)
class Given:
    """An answer that was given: to which query bytes (digest), and its record."""

    digest: bytes
    record: bytes


class Ledger:
    """Admitted sessions, this boot's grants, and its answers."""

    def __init__(self, boot: bytes) -> None:
        self._boot = boot
        self._newest = (-1, -1)
        self.sessions: dict[bytes, QuerySession] = {}
        self._allowances: dict[bytes, Allowance] = {}
        self._given: OrderedDict[QueryName, Given] = OrderedDict()
        self.elsewhere: set[QueryName] = set()

    def take(self, place: tuple[int, int], body: QuerySession | Grant) -> None:
        """Take in a record of ``sessions``, each once and in the journal's order.

        :param place: journal index and place within it, as the record's seal binds them.
        :raises TamperDetected: REPEAT, a record that was copied to a later offset: a grant must
            not count twice.
        """
        if place <= self._newest:
            raise TamperDetected(
                "a record of sessions that was taken before",
                code="REPEAT",
                expected=f"behind journal index {self._newest[0]}",
                got=f"index {place[0]}",
            )
        self._newest = place
        if isinstance(body, QuerySession):
            self.sessions[body.session] = body
        elif body.boot == self._boot:
            allowance = self.allowance(body.session)
            allowance.asked = False
            allowance.count += body.count
            allowance.left = body.left
            allowance.exhausted = not body.count

    def allowance(self, session: bytes) -> Allowance:
        """Return what a session has left with this boot."""
        return self._allowances.setdefault(session, Allowance())

    def given(self, name: QueryName) -> Given | None:
        """Return the answer that this boot gave to a query."""
        return self._given.get(name)

    def keep(self, name: QueryName, given: Given) -> None:
        """Keep an answer; the oldest goes when there are too many."""
        self._given[name] = given
        if len(self._given) > KEPT_ANSWERS:
            self._given.popitem(last=False)
