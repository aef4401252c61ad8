"""Query clients: sealed queries out, sealed answers back, whenever they come.

>>> with QueryClient("icu.job", "me.identity") as client:  # doctest: +SKIP
...     answer = client.predict({"age": 61, "bp": 120})
...     answer.value, answer.release, answer.budget_left
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Final

from chiron_stream import timeouts
from chiron_stream.broker.records import Isolation, Outgoing
from chiron_stream.clients.party import OpenSession, Party
from chiron_stream.errors import (
    AnswerTimeout,
    BudgetExhausted,
    ChironError,
    SchemaMismatch,
    TamperDetected,
)
from chiron_stream.job.columns import pack_columns
from chiron_stream.job.policy import Form, Role
from chiron_stream.job.rows import prepare_one
from chiron_stream.job.schema import LabelColumn
from chiron_stream.wire.canonical import EncodingRefused
from chiron_stream.wire.serving import (
    AnswerBody,
    QueryName,
    Status,
    answer_name,
    open_answer,
    seal_query,
)
from chiron_stream.wire.session import Purpose

_POLL: Final = 0.25


@dataclass(frozen=True)
class Answer:
    """An opened answer.

    ``value`` is in the policy's form: a class (LABEL), classes best first, with scores where the
    policy has bits (TOP_K), scores by class or a target (ROUNDED). ``freshness`` is ``local``:
    nobody else was asked whether there is a newer history.
    """

    value: Any
    release: int
    version: int
    checkpoint: bytes
    budget_left: int
    freshness: str
    simulated: bool


class QueryClient(Party):
    """Asks the job's newest release; see :class:`~chiron_stream.clients.party.Party`.

    The session opens with the first query. Answers are read by a thread of the client.
    """

    role = Role.CLIENT
    purpose = Purpose.QUERY

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._lock = threading.Lock()
        self._session: OpenSession | None = None
        self._answer_partition = os.urandom(1)[0] % self.partitions("answers")
        self._next = 0
        self._waiting: dict[int, Future[Answer]] = {}
        self._sent: dict[int, Outgoing] = {}
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._process = os.getpid()

    def predict(self, row: Mapping[str, Any], *, timeout: float = timeouts.ANSWER) -> Answer:
        """Ask about one row and wait for the answer; after half the time the query goes again.

        :raises SchemaMismatch: naming the column; nothing was sent.
        :raises BudgetExhausted: the policy's ceiling for this identity is reached.
        :raises AnswerTimeout: none came in ``timeout`` seconds.
        """
        future = self.submit(row)
        number = self._number(future)
        try:
            try:
                return future.result(timeout / 2)
            except TimeoutError:
                self._resend(number)
                return future.result(timeout / 2)
        except TimeoutError:
            raise AnswerTimeout(
                "no answer came in time",
                expected=f"an answer within {timeout:g} s",
                hint="chiron status shows whether there is a release and a predictor",
            ) from None

    def submit(self, row: Mapping[str, Any]) -> Future[Answer]:
        """Send one query; the future gets its answer, or the error that came instead.

        :raises SchemaMismatch: naming the column; nothing was sent.
        """
        policy = self.job.policy
        prepared = prepare_one(policy.schema, row)
        content = pack_columns(policy.schema, prepared.columns, 1, purpose="query")
        future: Future[Answer] = Future()
        with self._lock:
            session = self._opened()
            number, self._next = self._next, self._next + 1
            name = QueryName(session.keys.session, number)
            record = seal_query(session.keys.queries, name, content, policy.query_bytes)
            partition = session.keys.session[0] % self.partitions("queries")
            place = self.partition("queries", partition)
            outgoing = Outgoing(place, record, session.keys.session)
            self._waiting[number], self._sent[number] = future, outgoing
        self.producer.send(outgoing)
        return future

    def _opened(self) -> OpenSession:
        if os.getpid() != self._process:
            raise ChironError(
                "a query client was forked",
                code="FORKED",
                expected="a client made in this process: two would use the same numbers",
            )
        if self._session is None:
            place = self.partition("answers", self._answer_partition)
            start = self.broker.watermarks(place).high
            self._session = self.open(answer_partition=self._answer_partition)
            self._session.replies.close()
            self._thread = threading.Thread(
                target=self._read, args=(self._session, start), name="answers", daemon=True
            )
            self._thread.start()
        return self._session

    def _number(self, future: Future[Answer]) -> int:
        with self._lock:
            return next((n for n, one in self._waiting.items() if one is future), -1)

    def _resend(self, number: int) -> None:
        with self._lock:
            outgoing = self._sent.get(number)
        if outgoing is not None:
            self.producer.send(outgoing)

    def _read(self, session: OpenSession, start: int) -> None:
        place = self.partition("answers", self._answer_partition)
        isolation = Isolation.READ_UNCOMMITTED
        try:
            with self.broker.reader({place: start}, isolation=isolation) as reader:
                while not self._stop.is_set():
                    for record in reader.poll(_POLL):
                        name = answer_name(record.value)
                        if name is not None and name.session == session.keys.session:
                            self._take(session, name, record.value)
        except ChironError as error:
            self._fail(error)

    def _take(self, session: OpenSession, name: QueryName, record: bytes) -> None:
        """Give a valid answer to who waits for it; the first valid one counts."""
        try:
            body = open_answer(session.keys.answers, name, record)
        except (TamperDetected, EncodingRefused):
            return  # anybody may write such bytes
        with self._lock:
            future = self._waiting.pop(name.number, None)
            self._sent.pop(name.number, None)
        if future is None or not future.set_running_or_notify_cancel():
            return
        if body.status is Status.OK:
            future.set_result(self._answer(body))
        else:
            future.set_exception(_refused(body))

    def _answer(self, body: AnswerBody) -> Answer:
        return Answer(
            value=self._value(body),
            release=body.release,
            version=body.version,
            checkpoint=body.checkpoint,
            budget_left=body.budget_left,
            freshness=body.freshness,
            simulated=body.simulated,
        )

    def _value(self, body: AnswerBody) -> Any:
        target = self.job.policy.schema.target
        if not isinstance(target, LabelColumn):
            return body.values[0]
        names = [target.classes[one] for one in body.classes]
        if self.job.policy.disclosure.form is Form.LABEL:
            return names[0]
        return dict(zip(names, body.values, strict=True)) if body.values else names

    def _fail(self, error: ChironError) -> None:
        with self._lock:
            waiting, self._waiting = self._waiting, {}
        for future in waiting.values():
            if future.set_running_or_notify_cancel():
                future.set_exception(error)

    def close(self) -> None:
        """Stop reading answers and disconnect; queries that wait are cancelled."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        for future in list(self._waiting.values()):
            future.cancel()
        super().close()


def _refused(body: AnswerBody) -> ChironError:
    if body.status is Status.BUDGET:
        return BudgetExhausted(
            "no answers are left for this identity",
            expected="fewer queries than the policy's ceiling",
            hint="the policy's authors can raise it in a new job",
        )
    return SchemaMismatch("the predictor refused the query", got=body.reason)
