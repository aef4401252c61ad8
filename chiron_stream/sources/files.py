"""Tables from files and from standard input, batch by batch: CSV, JSON lines, ``.npz``, Parquet.

The job's schema says which columns are numbers; nothing else is guessed. A batch is a few megabytes
at most, whatever the size of the file. A file can be read as often as need be; what is piped in,
once.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final, Protocol

from chiron_stream.errors import UsageRefused
from chiron_stream.job.schema import NumberColumn, Schema, TensorColumn
from chiron_stream.job.values import RowMismatch
from chiron_stream.sources.delimited import CsvTable, number
from chiron_stream.sources.lines import JsonLines
from chiron_stream.sources.typed import typed_tensor

STANDARD_INPUT: Final = "-"

FORMATS: Final = ("csv", "jsonl", "npz", "parquet")
SUFFIXES: Final = {
    ".csv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".npz": "npz",
    ".parquet": "parquet",
}
"""Which format a file has, by the end of its name."""

Batch = Mapping[str, Any]


class Table(Protocol):
    """Rows in batches, each a mapping of names to columns or a list of rows."""

    def __iter__(self) -> Iterator[Any]:
        """Begin to read, from the first row on."""
        ...

    @property
    def unread(self) -> tuple[str, ...]:
        """Columns that are there and are not read: the schema does not name them."""
        ...


@dataclass(frozen=True)
class Source:
    """A file or standard input; ``name`` is what errors call it."""

    path: Path | None
    name: str

    @property
    def seekable(self) -> bool:
        """Whether it can be read from its beginning more than once."""
        return self.path is not None or sys.stdin.buffer.seekable()

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        """Yield its bytes from the beginning, or from where a pipe is."""
        if self.path is not None:
            with self.path.open("rb") as file:
                yield file
            return
        if sys.stdin.buffer.seekable():
            sys.stdin.buffer.seek(0)
        yield sys.stdin.buffer

    def unreadable(self, expected: str, got: str, hint: str | None = None) -> UsageRefused:
        """Return the error of a source that does not read; no cell is in it."""
        return UsageRefused(f"{self.name} does not read", expected=expected, got=got, hint=hint)


def source(word: str) -> Source:
    """Return the source that a command line names: a path, or ``-``.

    :raises UsageRefused: there is no such file.
    """
    if word == STANDARD_INPUT:
        return Source(None, "standard input")
    path = Path(word)
    if not path.is_file():
        raise UsageRefused(f"there is no file {path}")
    return Source(path, path.name)


def format_of(word: str, given: str | None) -> str:
    """Return the format of a source: the given one, or what the end of its name says.

    :raises UsageRefused: it says nothing.
    """
    found = given or SUFFIXES.get(Path(word).suffix.lower())
    if found is not None:
        return found
    what = "standard input" if word == STANDARD_INPUT else Path(word).name
    raise UsageRefused(
        f"cannot read {what}",
        expected=f"a file that ends in {', '.join(SUFFIXES)}; or --format",
        got=Path(word).suffix or "no such end",
    )


def open_table(found: Source, kind: str, schema: Schema) -> Table:
    """Return the table of a source; what is wrong with its rows shows when they are read.

    :param kind: one of :data:`FORMATS`.
    :raises UsageRefused: it does not read, or its format has to be read from its end and cannot.
    :raises SchemaMismatch: columns that the format cannot hold.
    """
    makers: dict[str, Callable[[], Table]] = {
        "csv": lambda: CsvTable(found, schema),
        "jsonl": lambda: JsonLines(found),
        "npz": lambda: _arrays(found),
        "parquet": lambda: _parquet(found, schema),
    }
    return makers[kind]()


def _arrays(found: Source) -> Table:
    from chiron_stream.sources.arrays import ArrayTable

    return ArrayTable(_from_the_end(found))


def _parquet(found: Source, schema: Schema) -> Table:
    from chiron_stream.sources.parquet import ParquetTable

    return ParquetTable(_from_the_end(found), schema)


def _from_the_end(found: Source) -> Source:
    if not found.seekable:
        raise found.unreadable(
            "a file: this format has its directory at its end",
            "a pipe",
            hint="redirect a file: chiron publish - --format FORMAT < FILE",
        )
    return found


def read_row(words: list[str], schema: Schema) -> Mapping[str, Any]:
    """Return one row of ``name=value`` words; a tensor is written as JSON lists of numbers.

    :raises UsageRefused: a word of another form.
    :raises SchemaMismatch: a number or tensor column with something else.
    """
    row: dict[str, Any] = {}
    numbers = {one.name for one in schema.columns if isinstance(one, NumberColumn)}
    tensors = {one.name for one in schema.columns if isinstance(one, TensorColumn)}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals or not name:
            raise UsageRefused("a row is written name=value", got=repr(name[:40]))
        if name in tensors:
            row[name] = typed_tensor(name, text)
        else:
            row[name] = _number(name, text) if name in numbers else text
    return row


def _number(name: str, text: str) -> int | float | None:
    try:
        return number(text)
    except ValueError:
        raise RowMismatch(
            name, 0, "is no number", expected="a number", got="another text"
        ) from None
