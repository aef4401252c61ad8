"""What both ways of ``chiron bridge`` share: the source, how it is read, and the end."""

from __future__ import annotations

import argparse
import os
import signal
import threading
from collections import Counter
from collections.abc import Sequence
from typing import Final

from chiron_stream.bridge.decoding import RowReader, decoder
from chiron_stream.bridge.gathering import Refused
from chiron_stream.bridge.source import SourceTopic
from chiron_stream.cli.output import Output
from chiron_stream.errors import UsageRefused
from chiron_stream.job.schema import Schema
from chiron_stream.settings import resolve

NAMED: Final = 100
"""Refused records that are named one by one; the rest are counted."""


def reader_of(flags: argparse.Namespace, schema: Schema) -> RowReader:
    """Return what reads rows from values.

    :raises UsageRefused: no such decoder, a column that the schema does not have, or that is
        renamed to nothing.
    """
    fields, known = _fields(flags.column), [one.name for one in schema.columns]
    if unknown := [name for name in fields if name not in known]:
        raise UsageRefused(
            f"--column {unknown[0]}: the schema has no such column",
            expected=", ".join(known),
            got=unknown[0][:40],
            hint="NAME=FIELD: the schema's name first, then that of the source",
        )
    return RowReader(decoder(flags.format), flags.envelope, fields)


def _fields(words: Sequence[str]) -> dict[str, str]:
    pairs = [word.partition("=") for word in words]
    if bad := [name for name, equals, field in pairs if not (name and equals and field)]:
        raise UsageRefused("a column is renamed by NAME=FIELD", got=repr(bad[0][:40]))
    return {name: field for name, _, field in pairs}


def source_of(flags: argparse.Namespace) -> SourceTopic:
    """Return the topic of the user's own cluster: nothing of its settings is the job's.

    :raises UsageRefused: the cluster is not named, or has no such topic.
    """
    if flags.source is None and flags.source_servers is None:
        raise UsageRefused("which cluster?", expected="--source FILE or --source-servers HOST:PORT")
    given = {"bootstrap_servers": flags.source_servers}
    settings = resolve(given, {}, flags.source or os.devnull)
    servers = settings.text("bootstrap_servers")
    return SourceTopic(servers, settings.kafka, flags.topic, _numbers(flags.partitions))


def _numbers(text: str | None) -> list[int] | None:
    """Return the numbers of a list such as ``0-3,7``.

    :raises UsageRefused: it is none.
    """
    if text is None:
        return None
    found: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        if not first.isdecimal() or not (last or first).isdecimal():
            raise UsageRefused("no list of partitions", expected="such as 0-3,7", got=text[:40])
        found += range(int(first), int(last or first) + 1)
    return found


def stopped() -> threading.Event:
    """Return an event that SIGTERM and Ctrl-C set: what is under way is finished then."""
    stop = threading.Event()

    def asked(_number: int, _frame: object) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, asked)
    signal.signal(signal.SIGINT, asked)
    return stop


class Refusals:
    """Counts records that are no rows, and names the first of them."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._counts: Counter[str] = Counter()

    def note(self, one: Refused) -> None:
        """Count one; names, never values."""
        self._counts[one.reason.value] += 1
        if self._counts.total() <= NAMED:
            where = f"{one.record.partition} at {one.record.offset}"
            detail = f": {one.detail}" if one.detail else ""
            self._output.note(f"{where} is no row, {one.reason.value}{detail}")

    @property
    def counts(self) -> dict[str, int]:
        """How many there were, by reason."""
        return dict(self._counts)

    def ending(self, sentence: str) -> str:
        """Return a sentence that ends with them, if there were any."""
        left = ", ".join(f"{count} {reason}" for reason, count in sorted(self._counts.items()))
        return f"{sentence}; no rows: {left}" if left else sentence
