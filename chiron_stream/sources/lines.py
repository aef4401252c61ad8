"""JSON lines: each line an object, its names the columns. A name that is not there is missing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from chiron_stream.errors import SchemaMismatch

if TYPE_CHECKING:
    from chiron_stream.sources.files import Source

BATCH_BYTES: Final = 1024 * 1024
"""Text of a batch, or one line more."""

LINE_BYTES: Final = 16 * 1024 * 1024
"""A line, at most."""


class JsonLines:
    """The rows of a source of JSON lines; empty lines are none."""

    unread = ()

    def __init__(self, source: Source) -> None:
        self._source = source

    def __iter__(self) -> Iterator[list[dict[str, Any]]]:
        """Yield lists of rows.

        :raises SchemaMismatch: naming the line, never what stands in it.
        :raises UsageRefused: it does not read.
        """
        rows: list[dict[str, Any]] = []
        size = 0
        try:
            with self._source.open() as file:
                number = 0
                while line := file.readline(LINE_BYTES + 1):
                    number += 1
                    if line.strip():
                        rows.append(self._row(line, number))
                        size += len(line)
                    if size >= BATCH_BYTES:
                        yield rows
                        rows, size = [], 0
        except OSError as error:
            raise self._source.unreadable("JSON lines", type(error).__name__) from error
        except SchemaMismatch:
            if rows:  # what is in front of the broken line is whole
                yield rows
            raise
        if rows:
            yield rows

    def _row(self, line: bytes, number: int) -> dict[str, Any]:
        if len(line) > LINE_BYTES:
            raise self._wrong(number, f"is longer than {LINE_BYTES} bytes")
        try:
            found = json.loads(line, object_pairs_hook=_once)
        except _Doubled:
            raise self._wrong(number, "has a name twice") from None
        except (ValueError, RecursionError):  # bytes that are no text among them
            raise self._wrong(number, "is no JSON") from None
        if not isinstance(found, dict):
            raise self._wrong(number, "is no JSON object")
        return found

    def _wrong(self, number: int, what: str) -> SchemaMismatch:
        return SchemaMismatch(
            f"line {number} of {self._source.name} {what}",
            expected="one JSON object a line, in UTF-8",
            got="something else",
        )


class _Doubled(ValueError):
    """An object with a name twice."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _Doubled
    return found
