"""The predictor: serves the release it is told to, answers queries that are granted to it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from chiron_stream.errors import RecipeRefused, SchemaMismatch, TamperDetected
from chiron_stream.graph import numerics, prediction, state
from chiron_stream.job.columns import Array, find_fault, unpack_columns
from chiron_stream.job.file import Job
from chiron_stream.wire.canonical import EncodingRefused
from chiron_stream.wire.courier import Line, Send
from chiron_stream.wire.serving import (
    RESPONSE_NONCE,
    AnswerBody,
    QueryName,
    QuerySession,
    SessionsRecord,
    Status,
    answer_name,
    open_query,
    open_sessions,
    query_name,
    seal_answer,
)
from chiron_stream.wire.tasks import Serve, Task
from chiron_stream.wire.workers import GrantRequest
from enclave_workers.core.following import follow, reject
from enclave_workers.core.link import Link
from enclave_workers.core.lookup import read_object
from enclave_workers.core.membership import Membership
from enclave_workers.core.predictor.forms import Disclosed, disclose
from enclave_workers.core.predictor.ledger import Given, Ledger
from enclave_workers.core.recent import Recent
from enclave_workers.core.recipes import BoundRecipe, bound_recipe
from enclave_workers.core.tee import Tee

LOOK_BACK: Final = 10_000
"""Offsets of each partition of answers that a new boot looks back over."""

PENDING: Final = 10_000
"""Queries that wait for their session, their grant or the first release; the oldest go."""


@dataclass(frozen=True)
class _Release:
    """What is being served."""

    told: Serve
    recipe: BoundRecipe
    model: state.ModelState


@dataclass(frozen=True)
class _Query:
    """A query that opened, with its columns or what is wrong with them, and what it left."""

    name: QueryName
    session: QuerySession
    digest: bytes
    columns: dict[str, Array]
    fault: str | None
    left: int


class Predictor:
    """One boot of a predictor."""

    def __init__(self, link: Link, job: Job, tee: Tee, now: int, threads: int) -> None:
        self._link = link
        self._policy = job.policy
        numerics.configure_numerics(threads)
        self._membership = Membership(link, job, "predictor", tee, now)
        self._ledger = Ledger(self._membership.boot.id)
        self._release: _Release | None = None
        self._checked: Recent[BoundRecipe] = Recent()
        self._batch = max(2, job.policy.predictor_batch)
        self._sessions_next = 0
        self._pending: list[Line] = []
        self._ready: dict[QueryName, _Query] = {}

    def run(self) -> None:
        """Serve until the courier goes away."""
        follow(self._link, self._membership, self._take, self._turn)

    def _take(self, task: Task) -> None:
        if not isinstance(task, Serve):
            raise TamperDetected("a predictor was told to train", code="TASK")
        recipe = self._recipe(task)
        model = state.load(recipe.checked, read_object(self._link, task.state))
        first = self._release is None
        self._release = _Release(task, recipe, model)
        if first:
            self._begin()

    def _recipe(self, task: Serve) -> BoundRecipe:
        """Return the release's recipe; checking one costs more than answering does."""

        def read() -> BoundRecipe:
            return bound_recipe(self._policy, read_object(self._link, task.definition))

        return self._checked.get(task.definition.ref.digest, read)

    def _begin(self) -> None:
        """Follow sessions, and a share of the queries; skip what has its answer."""
        self._link.tail("sessions", self._link.reach("sessions").low)
        for partition in range(self._link.reach("answers").partitions):
            marks = self._link.reach("answers", partition)
            start = max(marks.low, marks.high - LOOK_BACK)
            for line in self._link.read(
                "answers", start, marks.high, partition=partition, committed=False
            ):
                name = answer_name(line.value)
                if name is not None:
                    self._ledger.elsewhere.add(name)
        self._link.consume("queries")

    def _turn(self, lines: list[Line], _now: float) -> None:
        queries = self._pending
        self._pending = []
        for line in lines:
            if line.topic == "sessions":
                self._session(line)
            else:
                queries.append(line)
        if self._release is None:
            return
        self._ready = {}
        for line in queries:
            self._look_at(line)
        ready = list(self._ready.values())
        size = self._policy.predictor_batch
        for start in range(0, len(ready), size):
            self._answer(self._release, ready[start : start + size])
        del self._pending[: max(0, len(self._pending) - PENDING)]
        self._settle(queries)

    def _settle(self, looked_at: list[Line]) -> None:
        """Be done, for all predictors, with what was answered, refused or given up."""
        waiting = {(line.partition, line.offset) for line in self._pending}
        done: dict[int, list[int]] = {}
        for line in looked_at:
            if (line.partition, line.offset) not in waiting:
                done.setdefault(line.partition, []).append(line.offset)
        for partition, offsets in done.items():
            self._link.settle("queries", partition, offsets)

    def _session(self, line: Line) -> None:
        if line.offset < self._sessions_next or self._release is None:
            return
        self._sessions_next = line.offset + 1
        try:
            record = SessionsRecord.unpack(line.value)
            body = open_sessions(self._release.told.sessions_key, record)
            self._ledger.take((record.index, record.place), body)
        except (TamperDetected, EncodingRefused) as error:
            reject(self._link, self._membership.boot.id, line, error.code)

    def _look_at(self, line: Line) -> None:
        """Take a query that may be answered now; others wait, are sent again, or rejected."""
        name = query_name(line.value)
        if name is None:
            self._refuse(line, "FRAMING")
            return
        digest = hashlib.sha256(line.value).digest()
        given = self._ledger.given(name)
        if given is not None:
            self._again(line, name, given, digest)
        elif name in self._ready:
            if self._ready[name].digest != digest:
                self._refuse(line, "CONFLICT")
        elif name not in self._ledger.elsewhere:
            session = self._known(name.session)
            if session is None:
                self._refuse(line, "UNKNOWN_SESSION")
            else:
                self._open(line, name, session, digest)

    def _open(self, line: Line, name: QueryName, session: QuerySession, digest: bytes) -> None:
        """Open a query of an admitted session, once this boot may answer it."""
        if not self._may_answer(session):
            self._pending.append(line)
            return
        try:
            content = open_query(session.query_key, name, line.value)
        except TamperDetected as error:
            self._refuse(line, error.code)
            return
        left = self._charge(session)
        columns, fault = self._columns(content)
        self._ready[name] = _Query(name, session, digest, columns, fault, left)

    def _refuse(self, line: Line, code: str) -> None:
        reject(self._link, self._membership.boot.id, line, code)

    def _again(self, line: Line, name: QueryName, given: Given, digest: bytes) -> None:
        """Send the kept answer again for the same bytes; refuse other bytes of that number."""
        if given.digest != digest:
            self._refuse(line, "CONFLICT")
            return
        session = self._ledger.sessions[name.session]
        self._link.append(
            [Send("answers", session.answer_partition, given.record, name.session, b"")]
        )

    def _known(self, session: bytes) -> QuerySession | None:
        """Return a session; an unknown one is looked for at the end of ``sessions`` first."""
        if session not in self._ledger.sessions:
            end = self._link.reach("sessions").stable
            for line in self._link.read("sessions", self._sessions_next, end):
                self._session(line)
        return self._ledger.sessions.get(session)

    def _may_answer(self, session: QuerySession) -> bool:
        allowance = self._ledger.allowance(session.session)
        if allowance.count or allowance.exhausted:
            return True
        if not allowance.asked:
            allowance.asked = True
            self._membership.report("workers", GrantRequest(session.session))
        return False

    def _charge(self, session: QuerySession) -> int:
        """Take one answer from what a session has; return what its identity has left then."""
        allowance = self._ledger.allowance(session.session)
        if allowance.count:
            allowance.count -= 1
        return allowance.left + allowance.count

    def _columns(self, content: bytes) -> tuple[dict[str, Array], str | None]:
        schema = self._policy.schema
        try:
            columns, rows = unpack_columns(schema, content, purpose="query")
        except EncodingRefused as error:
            return {}, error.code
        if rows != 1:
            return {}, "a query has one row"
        return columns, find_fault(schema, columns, purpose="query")

    def _answer(self, release: _Release, queries: list[_Query]) -> None:
        good = [one for one in queries if one.fault is None and not self._exhausted(one)]
        disclosed = dict(zip((one.name for one in good), self._predict(release, good), strict=True))
        records = []
        for query in queries:
            record = self._sealed(release, query, disclosed.get(query.name))
            self._ledger.keep(query.name, Given(query.digest, record))
            partition = query.session.answer_partition
            records.append(Send("answers", partition, record, query.name.session, b""))
        self._link.append(records)

    def _exhausted(self, query: _Query) -> bool:
        return self._ledger.allowance(query.session.session).exhausted

    def _predict(self, release: _Release, good: list[_Query]) -> Sequence[Disclosed | None]:
        if not good:
            return []
        names = good[0].columns
        columns = {name: np.concatenate([one.columns[name] for one in good]) for name in names}
        try:
            scores = prediction.predict(release.recipe.checked, release.model, columns, self._batch)
        except (RecipeRefused, SchemaMismatch):
            return self._one_by_one(release, good)
        return [disclose(self._policy, row) for row in scores]

    def _one_by_one(self, release: _Release, good: list[_Query]) -> list[Disclosed | None]:
        """Answer each row alone: one that the recipe's graph does not run on stops no other."""
        found: list[Disclosed | None] = []
        for query in good:
            try:
                (row,) = prediction.predict(
                    release.recipe.checked, release.model, query.columns, self._batch
                )
            except (RecipeRefused, SchemaMismatch):
                found.append(None)
            else:
                found.append(disclose(self._policy, row))
        return found

    def _sealed(self, release: _Release, query: _Query, disclosed: Disclosed | None) -> bytes:
        allowance = self._ledger.allowance(query.session.session)
        status, reason = Status.OK, ""
        if not disclosed:
            exhausted = query.fault is None and allowance.exhausted
            status = Status.BUDGET if exhausted else Status.INVALID
            reason = query.fault or ("" if exhausted else "GRAPH_RUN")
        body = AnswerBody(
            status=status,
            classes=disclosed.classes if disclosed else (),
            values=disclosed.values if disclosed else (),
            release=release.told.release,
            version=release.told.version,
            checkpoint=release.told.checkpoint,
            budget_left=query.left,
            freshness="local",
            simulated=self._policy.is_simulated,
            reason=reason[:60],
        )
        secret = query.session.answer_secret
        nonce = os.urandom(RESPONSE_NONCE)
        return seal_answer(secret, query.name, nonce, body, self._policy.answer_bytes)


def run(link: Link, job: Job, tee: Tee, now: int, threads: int) -> None:
    """Run a predictor until its courier goes away."""
    Predictor(link, job, tee, now, threads).run()
