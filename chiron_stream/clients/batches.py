"""Batches of rows, checked one after another: rows count through all of them.

What is wrong is said of the row in the whole stream, never of the row in its batch, and names the
file where there is one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Final

import numpy as np

from chiron_stream.errors import PolicyRefused, SchemaMismatch, UsageRefused
from chiron_stream.job.rows import Prepared, prepare
from chiron_stream.job.schema import Schema
from chiron_stream.job.values import RowMismatch
from chiron_stream.sources.frames import has_rows, head, named_columns

WRONG: Final = (SchemaMismatch, UsageRefused)
"""What is raised for data that are wrong, or that do not read."""

Reading = Callable[[], Iterator[Prepared]]
"""Begins to read all batches, from the first on."""


@dataclass
class Batches:
    """An iterable of batches against a schema.

    ``name`` stands in errors: a file's. ``dropped`` names, so far, the columns that the schema
    does not have. An iterator can be read once only, any other iterable as often as need be.
    """

    schema: Schema
    data: Iterable[Any]
    name: str | None = None
    hint: str | None = None
    dropped: dict[str, None] = field(default_factory=dict)
    _read: bool = False
    _begun: Iterator[Prepared] | None = None

    def begin(self) -> bool:
        """Read ahead to the first row, for the next reading; tell whether there is one.

        :raises SchemaMismatch: as :meth:`read`.
        """
        reading = self.read()
        first = next(reading, None)
        self._begun = chain([] if first is None else [first], reading)
        return first is not None

    def read(self) -> Iterator[Prepared]:
        """Yield the batches that have rows, each checked when its turn comes.

        :raises SchemaMismatch: naming file, column and row; what was yielded before is good.
        :raises PolicyRefused: an iterator is asked for a second time; code ``ROWS_GONE``.
        """
        begun, self._begun = self._begun, None
        if begun is not None:
            return begun
        batches = iter(self.data)
        if self._read and batches is self.data:
            raise PolicyRefused(
                "a shard was damaged on its way, and its rows cannot be read again",
                code="ROWS_GONE",
                expected="an iterable that can be read from its beginning",
                got=type(self.data).__name__,
                hint="publish the same rows again: what is damaged is sent then",
            )
        self._read = True
        return self._prepared(batches)

    def whole(self) -> Prepared:
        """Return all rows at once, for whoever has room for them.

        :raises SchemaMismatch: a wrong row, or none at all.
        """
        parts = list(self.read())
        if not parts:
            raise SchemaMismatch("there are no rows", code="NO_ROWS", hint=self.hint)
        columns = {
            name: np.concatenate([one.columns[name] for one in parts]) for name in parts[0].columns
        }
        return Prepared(columns, sum(one.rows for one in parts), tuple(self.dropped))

    def _prepared(self, batches: Iterator[Any]) -> Iterator[Prepared]:
        first = 0
        while (batch := self._next(batches)) is not None:
            columns = named_columns(batch, self.schema)
            if not has_rows(columns):
                continue
            found, wrong = self._up_to_the_wrong(columns)
            if found is not None:
                self.dropped |= dict.fromkeys(found.dropped)
                yield found
            if wrong is not None:
                raise self._placed(wrong, first)
            first += found.rows if found else 0

    def _up_to_the_wrong(self, columns: Any) -> tuple[Prepared | None, RowMismatch | None]:
        """Return the rows of a batch in front of its first wrong one, and what is wrong with it."""
        part, wrong = columns, None
        while True:
            try:
                return prepare(self.schema, part), wrong
            except RowMismatch as error:
                wrong = error
            if not wrong.row:
                return None, wrong
            part = head(columns, wrong.row)

    def _next(self, batches: Iterator[Any]) -> Any:
        """Return the next batch, or None."""
        try:
            return next(batches, None)
        except WRONG as error:
            error.hint = error.hint or self.hint
            raise

    def _placed(self, error: RowMismatch, first: int) -> RowMismatch:
        what = f"{error.what}, in {self.name}" if self.name else error.what
        row = first + error.row if error.row is not None else None
        parts = {"expected": error.expected, "got": error.got, "hint": error.hint or self.hint}
        return RowMismatch(error.column, row, what, **parts)


def survey(batches: Batches) -> int:
    """Check every batch and keep none; return how many rows there are.

    :raises SchemaMismatch: naming column and row; nothing was sealed.
    """
    return sum(one.rows for one in batches.read())
