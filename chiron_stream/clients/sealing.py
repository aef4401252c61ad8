"""Queries on their way out: the session of this process, its numbers, and what tags stand for."""

from __future__ import annotations

import time

from chiron_stream.broker.records import Outgoing
from chiron_stream.clients.party import Party
from chiron_stream.clients.reading import AnswerLog
from chiron_stream.clients.state import Asked, QueryState
from chiron_stream.errors import AnswerTimeout, Timeout
from chiron_stream.wire.serving import QueryName, seal_query
from chiron_stream.wire.session import SessionKeys


class Sealer:
    """Seals one process's queries, each under a number of its own; used by one thread at a time.

    The key that seals lives in this object and is never kept: so no other process, and no copy of
    the state, seals another row under a number that was used.
    """

    def __init__(self, party: Party, state: QueryState, log: AnswerLog) -> None:
        self._party = party
        self._state = state
        self._log = log
        self._keys: SessionKeys | None = None
        self._next = 0

    def open(self, seconds: float) -> SessionKeys:
        """Return the session's keys; the first call opens it and keeps what reads its answers.

        :raises AnswerTimeout: it was not admitted in so many seconds; nothing was sent.
        :raises ChironError: it was refused, or the coordinator's evidence was.
        """
        if self._keys is None:
            start = self._log.end
            try:
                opened = self._party.open(answer_partition=self._state.partition, timeout=seconds)
            except Timeout as error:
                raise AnswerTimeout(
                    "no session was opened in time; nothing was sent",
                    expected=f"a session within {seconds:.3g} s",
                    got=error.message,
                    hint=error.hint,
                ) from error
            opened.replies.close()
            keys = opened.keys
            self._state.add_session(keys.session, keys.answers, start, int(time.time()))
            self._keys = keys
        return self._keys

    def known(self, tag: str | None, content: bytes) -> Asked | None:
        """Return what was asked under a tag before, by any process of this state.

        :raises TagTaken: another row was.
        """
        return None if tag is None else self._state.tagged(tag, content)

    def seal(self, keys: SessionKeys, tag: str | None, content: bytes) -> Asked:
        """Return a packed row, sealed under the next number; with a new tag, it is kept first.

        :raises PolicyRefused: the row is larger than the policy's queries.
        """
        name, self._next = QueryName(keys.session, self._next), self._next + 1
        record = seal_query(keys.queries, name, content, self._party.job.policy.query_bytes)
        if tag is not None:
            self._state.add_query(tag, content, name, record, int(time.time()))
        return Asked(name, record, None)

    def outgoing(self, query: Asked) -> Outgoing:
        """Return where a query goes: the partition that its session's id says."""
        session = query.name.session
        partition = session[0] % self._party.partitions("queries")
        return Outgoing(self._party.partition("queries", partition), query.record, session)

    def is_own(self, name: QueryName) -> bool:
        """Tell whether a query was asked in this process's session."""
        return self._keys is not None and name.session == self._keys.session
