"""Rows to ask about, one after the other: CSV with a header line, or JSON, one object a line.

Read as they come, so that a pipe that stays open is answered row by row. Empty lines are passed
over. A refusal names line and column, never a cell.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, Literal, NamedTuple

from chiron_stream.errors import SchemaMismatch, UsageRefused
from chiron_stream.job.schema import NumberColumn, Schema, TensorColumn

Kind = Literal["csv", "jsonl"]

KINDS: Final[Mapping[str, Kind]] = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl"}
"""What a file's name says of it."""


class Row(NamedTuple):
    """A row, and on which line it stands; lines count from 1."""

    line: int
    cells: Mapping[str, Any]


def read_rows(name: str, lines: Iterable[str], kind: Kind, schema: Schema) -> Iterator[Row]:
    """Yield the rows of a text.

    :param name: of the text, for people.
    :param lines: with their ends.
    :raises UsageRefused: it is not of this kind.
    :raises SchemaMismatch: a line of another form, or a cell that is no number.
    """
    try:
        yield from _csv(name, lines, schema) if kind == "csv" else _json(name, lines)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageRefused(
            f"{name} does not read", expected=f"{kind} in UTF-8", got=type(error).__name__
        ) from error


def _csv(name: str, lines: Iterable[str], schema: Schema) -> Iterator[Row]:
    rows = csv.reader(lines)
    names = next(rows, [])
    _check_names(name, names, schema)
    numbers = {one.name for one in schema.columns if isinstance(one, NumberColumn)}
    for cells in rows:
        if not cells:
            continue
        if len(cells) != len(names):
            raise _refused(name, rows.line_num, "another number of cells", str(len(names)))
        found: dict[str, Any] = dict(zip(names, cells, strict=True))
        for column in numbers & found.keys():
            found[column] = _number(name, rows.line_num, column, found[column])
        yield Row(rows.line_num, found)


def _check_names(name: str, names: list[str], schema: Schema) -> None:
    if doubled := [one for one in names if names.count(one) > 1]:
        raise SchemaMismatch(f"column {doubled[0]!r}: {name} has it twice", expected="it once")
    tensors = [one.name for one in schema.columns if isinstance(one, TensorColumn)]
    if found := [one for one in tensors if one in names]:
        raise SchemaMismatch(
            f"the column {found[0]!r} is a tensor, which CSV cannot hold", hint="use JSON lines"
        )


def _number(name: str, line: int, column: str, cell: str) -> float:
    try:
        return float(cell) if cell else float("nan")
    except ValueError:
        what = f"column {column!r} is no number"
        raise _refused(name, line, what, "a number") from None


def _json(name: str, lines: Iterable[str]) -> Iterator[Row]:
    for number, line in enumerate(lines, 1):
        if line.strip():
            yield Row(number, _object(name, number, line))


def _object(name: str, number: int, line: str) -> dict[str, Any]:
    try:
        found = json.loads(line, object_pairs_hook=_once)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise _refused(name, number, "no row", "one JSON object a line, each name in it once")
    return found


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError
    return found


def _refused(name: str, line: int, what: str, expected: str) -> SchemaMismatch:
    return SchemaMismatch(f"line {line} of {name}: {what}; it was not sent", expected=expected)
