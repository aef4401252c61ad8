"""Query clients: sealed queries out, sealed answers back, whenever they come.

>>> with QueryClient("icu.job", "me.identity", state="icu.state") as client:  # doctest: +SKIP
...     answer = client.predict({"age": 61, "bp": 120})
...     future = client.submit({"age": 48, "bp": 135}, tag="order-17")
...     for answer in client.results(after=answer.cursor, timeout=5):
...         print(answer.tag, answer.value, answer.cursor)
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Final

from chiron_stream import timeouts
from chiron_stream.clients.answers import Answer
from chiron_stream.clients.asking import Asking
from chiron_stream.clients.party import Party
from chiron_stream.job.policy import Role
from chiron_stream.wire.session import Purpose

UNDER_WAY: Final = 1000
"""Queries of one client without an answer, at most, unless it asks for more or fewer."""


class QueryClient(Party):
    """Asks the job's newest release; see :class:`~chiron_stream.clients.party.Party`.

    The session opens with the first query, and another one with each client: what a session was
    granted and did not use is lost. All methods may be called from any thread, and in the process
    that made the client only.

    :param state: a file (0600, made if need be) in which answer keys and tagged queries are kept,
        sealed to this identity and job: for retries after a crash, and for other processes that
        read the answers. One client at a time asks with it. Without one, tags hold as long as this
        client.
    :param under_way: queries without an answer, at most.
    """

    role = Role.CLIENT
    purpose = Purpose.QUERY

    def __init__(
        self,
        *arguments: Any,
        state: Path | str | None = None,
        under_way: int = UNDER_WAY,
        **options: Any,
    ) -> None:
        super().__init__(*arguments, **options)
        self.asking = Asking(self, None if state is None else Path(state), under_way)

    def predict(
        self, row: Mapping[str, Any], *, tag: str | None = None, timeout: float = timeouts.ANSWER
    ) -> Answer:
        """Ask about one row and wait for the answer; after half the time the query goes again.

        :param tag: as :meth:`submit`.
        :raises AnswerTimeout: no answer came in ``timeout`` seconds; says if no model is released.
            The query is given up here; an answer that still comes is for ``results``, or for the
            same tag.
        :raises ChironError: as :meth:`submit` and its future.
        """
        deadline = time.monotonic() + timeout
        future = self.submit(row, tag=tag, timeout=timeout)
        return self._answer(future, deadline, timeout)

    def answer(self, future: Future[Answer], *, timeout: float = timeouts.ANSWER) -> Answer:
        """Wait for the answer to a query that was submitted, as :meth:`predict` waits."""
        return self._answer(future, time.monotonic() + timeout, timeout)

    def _answer(self, future: Future[Answer], deadline: float, timeout: float) -> Answer:
        try:
            try:
                return future.result(max(0.0, deadline - timeout / 2 - time.monotonic()))
            except TimeoutError:
                self.asking.again(future)
                return future.result(max(0.0, deadline - time.monotonic()))
        except TimeoutError:
            raise self.asking.late(timeout) from None
        finally:
            future.cancel()

    def submit(
        self, row: Mapping[str, Any], *, tag: str | None = None, timeout: float = timeouts.ANSWER
    ) -> Future[Answer]:
        """Send one query; the future gets its answer, or the error that came instead.

        Cancelling the future gives the query up here: its answer is dropped, and counted.

        :param tag: names this row for 7 days, at most 256 bytes. Asking again under it, after a
            crash too where there is a state, sends the same bytes: one charge, one answer.
        :param timeout: seconds to wait for a session, and for room among the queries under way.
        :raises SchemaMismatch: naming the column; nothing was sent.
        :raises TagTaken: another row was asked under this tag; nothing was sent.
        :raises TooManyQueries: there was no room in time; nothing was sent.
        :raises AnswerTimeout: no session was opened in time; nothing was sent.
        :raises Fenced: STATE_LOCKED: another client asks with this state; nothing was sent.
        """
        future: Future[Answer] = Future()
        self.asking.ask(row, future, tag=tag, timeout=timeout)
        return future

    def flush(self) -> None:
        """Wait until the broker has acknowledged every query that is under way.

        :raises ChironError: it did not take one; whether that will be answered is not known.
        """
        self.asking.flush()

    def results(self, *, after: str | None = None, timeout: float | None = 0.0) -> Iterator[Answer]:
        """Yield this state's answers in the order in which they came, each query's once.

        Whoever asked: with a state, another process of this identity. Refusals are yielded too,
        with their ``error``.

        :param after: ``cursor`` of an answer; the default begins with the first that the broker
            still has.
        :param timeout: seconds without a further answer behind which the iteration ends; None:
            it goes on until the client is closed.
        :raises UsageRefused: no cursor of this state's answers.
        :raises Withheld: the broker no longer has what is behind the cursor.
        :raises ConfigurationRefused: nothing was ever asked with this state.
        """
        looks = self.asking.looks(after, timeout)
        return (answer for found in looks for answer in found)

    @property
    def dropped(self) -> int:
        """How many answers came for which nobody waited any more."""
        return self.asking.dropped

    def close(self) -> None:
        """Stop reading answers and disconnect; whoever waits for one gets an error, CLOSED.

        In a forked child this does nothing: the connections are the parent's.
        """
        if self.asking.in_its_process:
            self.asking.close()
            super().close()
