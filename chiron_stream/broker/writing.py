"""The life of a transactional writer, the same behind both brokers.

::

    new ──start──▶ ready ──begin──▶ open ──commit──▶ ready
                     └───── any error ─────┴──▶ finished (Fenced or WriterLost, for ever)
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import Enum
from typing import Final, NoReturn

from chiron_stream.errors import BugFound, ChironError, Fenced, UsageRefused, WriterLost

_TRANSACTIONAL_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,200}")


class _Phase(Enum):
    NEW = "new"
    READY = "ready"
    OPEN = "open"
    FINISHED = "finished"


class WriterState:
    """Refuses calls out of order, and gives a finished writer's one answer again.

    :param name: the transactional id, for messages.
    :param successor: whether another writer has taken over, as the caller's own log says.
    """

    def __init__(self, name: str, successor: Callable[[], bool]) -> None:
        if not _TRANSACTIONAL_ID.fullmatch(name):
            raise UsageRefused(
                "not a transactional id",
                code="TRANSACTIONAL_ID",
                expected="1 to 200 letters, digits, dots, underscores, hyphens",
                got=repr(name[:80]),
            )
        self._name = name
        self._successor = successor
        self._phase = _Phase.NEW
        self._end: ChironError | None = None

    @property
    def untroubled(self) -> bool:
        """Whether no error has finished this writer."""
        return self._end is None

    def starting(self) -> None:
        """Allow ``start`` once."""
        self._expect(_Phase.NEW, "start")

    def started(self) -> None:
        """Note that earlier writers are fenced."""
        self._phase = _Phase.READY

    def beginning(self) -> None:
        """Allow ``begin`` between transactions."""
        self._expect(_Phase.READY, "begin")
        self._phase = _Phase.OPEN

    def check_open(self) -> None:
        """Allow what needs an open transaction."""
        self._expect(_Phase.OPEN, "write in a transaction")

    def check_usable(self) -> None:
        """Allow what needs a started writer, in a transaction or between two."""
        if self._phase is not _Phase.OPEN:
            self._expect(_Phase.READY, "write")

    def committed(self) -> None:
        """Note the end of a transaction."""
        self._phase = _Phase.READY

    def closed(self) -> None:
        """Note that nothing more is meant to come."""
        self._phase = _Phase.FINISHED

    def finish(self, error: ChironError) -> NoReturn:
        """End the writer for ``error`` and raise what its owner has to know.

        :raises Fenced: there is a successor.
        :raises WriterLost: there is none, or it could not be found out.
        """
        self._phase = _Phase.FINISHED
        self._end = self._judge(error)
        raise self._end from error

    def _judge(self, error: ChironError) -> ChironError:
        try:
            taken_over = self._successor()
        except ChironError as unknown:
            return self._lost(error, f"a successor could not be looked for: {unknown}")
        if not taken_over:
            return self._lost(error, "there is no successor")
        return Fenced(
            f"another writer has taken over the transactional id {self._name}",
            got=str(error),
            hint="end this process; its open transaction is void",
        )

    def _lost(self, error: ChironError, finding: str) -> WriterLost:
        return WriterLost(
            f"the transactional writer {self._name} is finished; {finding}",
            got=str(error),
            hint="start a new writer and read the log: the transaction is there as a whole or not",
        )

    def _expect(self, phase: _Phase, doing: str) -> None:
        if self._end is not None:
            raise self._end
        if self._phase is not phase:
            raise BugFound(
                f"the writer {self._name} cannot {doing} now",
                code="WRITER_ORDER",
                expected=phase.value,
                got=self._phase.value,
            )
