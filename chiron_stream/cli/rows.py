"""Many rows of ``chiron predict``: asked as they come, answered in their order."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from pathlib import Path
from queue import Queue
from typing import Final, NamedTuple

from chiron_stream.clients.answers import Answer
from chiron_stream.clients.query import UNDER_WAY, QueryClient
from chiron_stream.errors import BugFound, ChironError, SchemaMismatch, UsageRefused
from chiron_stream.sources.rows import KINDS, Kind, Row

STANDARD_INPUT: Final = "-"


class _Asked(NamedTuple):
    """A row that was sent."""

    line: int
    future: Future[Answer]


def lines_of(name: str) -> Iterator[str]:
    """Yield the lines of a file, or of what is piped in, as they come.

    Not by ``sys.stdin``: a thread that waits for its next line would keep the interpreter from
    ending. Nobody closes what is piped in, for the same reason.
    """
    if name == STANDARD_INPUT:
        yield from os.fdopen(0, encoding="utf-8", newline="", closefd=False)
        return
    with Path(name).open(encoding="utf-8", newline="") as file:
        yield from file


def kind_of(name: str, given: Kind | None) -> Kind:
    """Return what a file holds, by what was said, or else by its name; what is piped is JSON.

    :raises UsageRefused: neither tells, or there is no such file.
    """
    if name == STANDARD_INPUT:
        return given or "jsonl"
    path = Path(name)
    if not path.is_file():
        raise UsageRefused(f"there is no file {name}", expected="NAME=VALUE ..., FILE or -")
    found = given or KINDS.get(path.suffix)
    if found is None:
        raise UsageRefused(f"cannot tell what {name} holds", expected="--format csv or jsonl")
    return found


class Asking:
    """Sends rows from a thread of its own, while the caller takes the answers.

    The thread may wait for input for ever, so that nothing waits for it at the end.

    :param tag: name of the column that holds each row's tag.
    """

    def __init__(
        self, client: QueryClient, rows: Iterable[Row], tag: str | None, timeout: float
    ) -> None:
        self._client = client
        self._rows = rows
        self._tag = tag
        self._timeout = timeout
        self._asked: Queue[_Asked | None] = Queue(UNDER_WAY)
        self._end: ChironError | None = BugFound("the rows were not read to their end")

    def _ask(self) -> None:
        try:
            for row in self._rows:
                self._asked.put(_Asked(row.line, self.submit(row)))
            self._end = None
        except ChironError as error:
            self._end = error
        finally:
            self._asked.put(None)

    def submit(self, row: Row) -> Future[Answer]:
        """Send one row.

        :raises ChironError: naming its line.
        """
        tag = None if self._tag is None else tag_of(row, self._tag)
        try:
            return self._client.submit(row.cells, tag=tag, timeout=self._timeout)
        except SchemaMismatch as error:
            message = error.message.replace(", row 0 (from 0)", "")
            raise SchemaMismatch(
                f"line {row.line}: {message}; it was not sent",
                code=error.code,
                expected=error.expected,
                got=error.got,
                hint=error.hint,
            ) from error

    def answers(self) -> Iterator[tuple[int, Answer]]:
        """Yield line and answer of each row, in their order.

        :raises ChironError: what a row got instead, or why reading them ended.
        """
        threading.Thread(target=self._ask, name="rows", daemon=True).start()
        while (asked := self._asked.get()) is not None:
            yield asked.line, self._client.answer(asked.future, timeout=self._timeout)
        if self._end is not None:
            raise self._end

    def send_all(self) -> int:
        """Send all rows, wait for no answer, and return how many the broker has taken."""
        count, sent = 0, list[Future[Answer]]()
        for row in self._rows:
            sent.append(self.submit(row))
            count += 1
            if len(sent) == UNDER_WAY:
                self._give_up(sent)
        self._give_up(sent)
        return count

    def _give_up(self, sent: list[Future[Answer]]) -> None:
        self._client.flush()
        for future in sent:
            future.cancel()
        sent.clear()


def tag_of(row: Row, column: str) -> str:
    """Return a row's tag: a text, or a whole number.

    :raises UsageRefused: the row has no such cell.
    """
    found = row.cells.get(column)
    if isinstance(found, float) and found.is_integer():
        found = int(found)
    if isinstance(found, str) or type(found) is int:
        return str(found)
    raise UsageRefused(
        f"line {row.line} has no tag; it was not sent",
        expected=f"a text or a whole number in the column {column!r}",
    )
