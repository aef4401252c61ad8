"""Asking: what the query clients share, whether their callers wait in threads or in tasks.

Queries go out one at a time; a thread reads answers, from before the first query on.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Generator, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from chiron_stream.clients.answers import Answer
from chiron_stream.clients.party import Party
from chiron_stream.clients.reading import AnswerLog, closed
from chiron_stream.clients.releases import newest_release
from chiron_stream.clients.sealing import Sealer
from chiron_stream.clients.state import Asked, QueryState
from chiron_stream.clients.waiting import TooManyQueries, Waiting, settle
from chiron_stream.errors import AnswerTimeout, ChironError, UsageRefused
from chiron_stream.job.columns import pack_columns
from chiron_stream.job.rows import prepare_one

_LOOK_SECONDS: Final = 1.0
"""For a look whether there is a release at all."""


@dataclass(frozen=True)
class _Question:
    """A packed row, who waits for its answer, and until when it must have gone out."""

    content: bytes
    tag: str | None
    future: Future[Answer]
    deadline: float

    @property
    def left(self) -> float:
        """Seconds to the deadline."""
        return max(0.0, self.deadline - time.monotonic())


class Asking:
    """The queries of one client and their answers; may be used by several threads.

    ``dropped`` counts answers to this client's queries for which nobody waited any more.

    :param state: file of what is kept for other processes; None: nothing is.
    :param under_way: queries without an answer, at most.
    :raises UsageRefused: no room for any query.
    """

    def __init__(self, party: Party, state: Path | None, under_way: int) -> None:
        if under_way < 1:
            raise UsageRefused("a client without queries under way", got=str(under_way))
        self._party = party
        self._path = state
        self._process = os.getpid()
        self._opening = threading.Lock()
        self._turns = threading.RLock()
        self._waiting = Waiting(under_way)
        self._state: QueryState | None = None
        self._sealer: Sealer | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.dropped = 0

    @property
    def in_its_process(self) -> bool:
        """Whether this is the process that made the client."""
        return os.getpid() == self._process

    def _check(self) -> None:
        if not self.in_its_process:
            raise ChironError(
                "a query client was forked",
                code="FORKED",
                expected="a client made in this process: two would use the same numbers",
            )
        if self._stop.is_set():
            raise closed()

    def ask(
        self, row: Mapping[str, Any], future: Future[Answer], *, tag: str | None, timeout: float
    ) -> None:
        """Send one query for whose answer a future waits; nothing if that is cancelled by then.

        :param timeout: seconds to wait for a session and for room.
        :raises ChironError: the future will get nothing.
        """
        self._check()
        deadline = time.monotonic() + timeout
        schema = self._party.job.policy.schema
        content = pack_columns(schema, prepare_one(schema, row).columns, 1, purpose="query")
        question = _Question(content, tag, future, deadline)
        with self._turn(question):
            sealer, log = self._begun()
            known = sealer.known(tag, content)
            if known is None:
                self._ask_new(sealer, question)
            elif known.came is not None:
                settle(future, log.opener.again(known.came))
            else:
                self._ask_again(sealer, log, known, question)

    @contextmanager
    def _turn(self, question: _Question) -> Iterator[None]:
        left = question.left
        if not self._turns.acquire(timeout=left):
            raise self.crowded(left)
        try:
            yield
        finally:
            self._turns.release()

    def _ask_new(self, sealer: Sealer, question: _Question) -> None:
        self._waiting.room(question.left)
        keys = sealer.open(question.left)
        if not question.future.cancelled():
            query = sealer.seal(keys, question.tag, question.content)
            self._waiting.put(query.name, sealer.outgoing(query), question.future)
            self._send(question.future)

    def _ask_again(self, sealer: Sealer, log: AnswerLog, known: Asked, question: _Question) -> None:
        """Send the bytes that went out under a tag once more; its answer may come meanwhile."""
        if not self._waiting.join(known.name, question.future):
            self._waiting.room(question.left)
            self._waiting.put(known.name, sealer.outgoing(known), question.future)
        now = sealer.known(question.tag, question.content)
        if now is not None and now.came is not None:
            self._waiting.resolve(now.name, log.opener.again(now.came))
        else:
            self._send(question.future)

    def _send(self, future: Future[Answer]) -> None:
        try:
            self.again(future)
        except BaseException:
            self._waiting.drop(future)
            raise

    def again(self, future: Future[Answer]) -> None:
        """Send the query that a future waits for once more, the same bytes.

        :raises ChironError: the broker does not take it.
        """
        outgoing = self._waiting.outgoing(future)
        if outgoing is not None:
            self._waiting.sent(future, self._party.producer.send(outgoing))

    def flush(self) -> None:
        """Wait until the broker has every query that is under way."""
        for delivery in self._waiting.deliveries():
            delivery.result()

    def _opened(self, *, create: bool) -> QueryState:
        """Return the client's state; a new one draws the partition of its answers."""
        with self._opening:
            if self._state is None:
                party = self._party
                partition = os.urandom(1)[0] % party.partitions("answers")
                self._state = QueryState(
                    self._path,
                    party.identity,
                    party.job.job_id,
                    partition=partition,
                    create=create,
                )
            return self._state

    def _begun(self) -> tuple[Sealer, AnswerLog]:
        """Return what seals and what reads; first become the one who asks with the state."""
        state = self._opened(create=True)
        log = AnswerLog(self._party, state)
        if self._sealer is None:
            state.lock(int(time.time() - self._party.retention("answers")))
            sealer = self._sealer = Sealer(self._party, state, log)
            arguments = (log, sealer, log.unanswered())
            self._thread = threading.Thread(
                target=self._follow, args=arguments, name="answers", daemon=True
            )
            self._thread.start()
        return self._sealer, log

    def _follow(self, log: AnswerLog, sealer: Sealer, start: int) -> None:
        try:
            for found in log.follow(start, self._stop):
                for name, answer in found:
                    if not self._waiting.resolve(name, answer):
                        self.dropped += sealer.is_own(name)
        except ChironError as error:
            self._waiting.fail(error)

    def looks(
        self, after: str | None, timeout: float | None
    ) -> Generator[list[Answer], None, None]:
        """Return the answers behind a cursor, one look at the broker after the other."""
        self._check()
        log = AnswerLog(self._party, self._opened(create=False))
        return log.looks(after, timeout, self._stop)

    def crowded(self, seconds: float) -> TooManyQueries:
        """Return the error of a query for which there was no room."""
        return self._waiting.crowded(seconds)

    def late(self, seconds: float) -> AnswerTimeout:
        """Return the error of an answer that did not come; it says whether there is a release.

        A broker that does not tell in a second is not waited for.
        """
        got, found = None, Future[int]()
        threading.Thread(target=self._look, args=(found,), name="release", daemon=True).start()
        with suppress(ChironError, TimeoutError):  # whatever there is, the answer did not come
            release = found.result(_LOOK_SECONDS)
            got = f"none; the newest release is {release}" if release else "no release yet"
        return AnswerTimeout(
            "no answer came in time; it may still come",
            expected=f"an answer within {seconds:g} s",
            got=got,
            hint="chiron status shows whether there is a release and a predictor",
        )

    def _look(self, found: Future[int]) -> None:
        try:
            found.set_result(newest_release(self._party))
        except ChironError as error:
            found.set_exception(error)

    def close(self) -> None:
        """Stop reading answers; whoever waits for one gets an error.

        A query that is on its way out is waited for.
        """
        self._stop.set()
        self._waiting.fail(closed())
        if self._thread is not None:
            self._thread.join()
        with self._turns:
            if self._state is not None:
                self._state.close()
