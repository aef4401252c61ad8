"""Answers as a client gets them, and how they are told from what others wrote on the topic."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from chiron_stream.broker.records import Record
from chiron_stream.clients.cursors import cursor_at
from chiron_stream.clients.state import Came, QueryState
from chiron_stream.errors import BudgetExhausted, ChironError, SchemaMismatch, TamperDetected
from chiron_stream.job.policy import Form, Policy
from chiron_stream.job.schema import LabelColumn
from chiron_stream.wire.canonical import EncodingRefused
from chiron_stream.wire.serving import AnswerBody, QueryName, Status, answer_name, open_answer


@dataclass(frozen=True)
class Answer:
    """An opened answer.

    ``value`` is in the policy's form: a class (LABEL), classes best first, with scores where the
    policy has bits (TOP_K), scores by class or a target (ROUNDED). ``freshness`` is ``local``:
    nobody else was asked whether there is a newer history. ``tag`` is what the query was asked
    under, if anything; ``cursor`` is where ``results(after=...)`` goes on behind this answer.
    ``error`` says, of ``results`` alone, why there is no value; elsewhere it is raised.
    """

    value: Any
    release: int
    version: int
    checkpoint: bytes
    budget_left: int
    freshness: str
    simulated: bool
    tag: str | None
    cursor: str
    error: ChironError | None = None


class Opener:
    """Opens the answers of one client, each query's first valid one."""

    def __init__(self, policy: Policy, state: QueryState) -> None:
        self._policy = policy
        self._state = state

    def take(self, records: Sequence[Record]) -> list[tuple[QueryName, Answer]]:
        """Return the answers among records of ``answers``, in their order.

        :param records: unverified; what is another client's, does not open, or is a copy of an
            answer that came before, is passed over: anybody may write such bytes.
        """
        found = [one for record in records if (one := self._opened(record)) is not None]
        first = self._state.note([came for came, _body in found], int(time.time()))
        return [
            (came.name, self._answer(came, body))
            for (came, body), fresh in zip(found, first, strict=True)
            if fresh
        ]

    def again(self, came: Came) -> Answer:
        """Return an answer that the state kept.

        :raises TamperDetected: the state was altered.
        """
        secret = self._state.secret(came.name.session)
        if secret is None:
            raise TamperDetected("the state keeps an answer of no session of its own")
        return self._answer(came, open_answer(secret, came.name, came.record))

    def _opened(self, record: Record) -> tuple[Came, AnswerBody] | None:
        name = answer_name(record.value)
        secret = None if name is None else self._state.secret(name.session)
        if name is None or secret is None:
            return None
        try:
            body = open_answer(secret, name, record.value)
        except (TamperDetected, EncodingRefused):
            return None
        return Came(name, record.offset, record.value), body

    def _answer(self, came: Came, body: AnswerBody) -> Answer:
        good = body.status is Status.OK
        return Answer(
            value=self._value(body) if good else None,
            release=body.release,
            version=body.version,
            checkpoint=body.checkpoint,
            budget_left=body.budget_left,
            freshness=body.freshness,
            simulated=body.simulated,
            tag=self._state.tag_of(came.name),
            cursor=cursor_at(self._state.name, came.offset + 1),
            error=None if good else _refused(body),
        )

    def _value(self, body: AnswerBody) -> Any:
        target = self._policy.schema.target
        if not isinstance(target, LabelColumn):
            return body.values[0]
        names = [target.classes[one] for one in body.classes]
        if self._policy.disclosure.form is Form.LABEL:
            return names[0]
        return dict(zip(names, body.values, strict=True)) if body.values else names


def _refused(body: AnswerBody) -> ChironError:
    if body.status is Status.BUDGET:
        return BudgetExhausted(
            "no answers are left for this identity",
            expected="fewer queries than the policy's ceiling",
            hint="the policy's authors can raise it in a new job",
        )
    return SchemaMismatch("the predictor refused the query", got=body.reason)
