"""``chiron bridge``: rows from a topic of the owner's own cluster, sealed, into a data set."""

from __future__ import annotations

import argparse
import os
import signal
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any, Final

from chiron_stream.bridge.dead_letters import DeadLetters
from chiron_stream.bridge.decoding import ENVELOPES, RowReader, decoder
from chiron_stream.bridge.gathering import Refused
from chiron_stream.bridge.ingest import Bridge
from chiron_stream.bridge.positions import Position
from chiron_stream.bridge.source import SourceTopic
from chiron_stream.bridge.windowing import Cut
from chiron_stream.cli.common import Context, context, parser
from chiron_stream.cli.jobs import acting, add_member, connection, evidence
from chiron_stream.cli.main import NOUNS
from chiron_stream.clients.owner import DataOwner
from chiron_stream.clients.publication import Publication, Sent, rows_that_fit
from chiron_stream.clients.windows import Window
from chiron_stream.errors import UsageRefused
from chiron_stream.job.policy import Role
from chiron_stream.local.directory import JobDirectory
from chiron_stream.settings import Settings, resolve

NAMED: Final = 100
"""Refused records that are named one by one; the rest are counted."""


def run(arguments: Sequence[str]) -> int:
    """Bridge until Ctrl-C or SIGTERM; with ``--to-the-end``, until all that is there is sent."""
    ready = context(_parser().parse_args(arguments))
    flags = ready.flags
    directory = JobDirectory(flags.job.resolve())
    job = directory.job()
    identity = acting(directory, job, Role.OWNER, flags.member)
    reader = RowReader(decoder(flags.format), flags.envelope, _fields(flags.column))
    rows = rows_that_fit(job.policy) if flags.rows_per_shard is None else flags.rows_per_shard
    cut = Cut(rows, flags.max_wait)
    with ExitStack() as stack:
        owner = DataOwner(job, identity, evidence=evidence(flags), **connection(ready, job))
        stack.enter_context(owner)
        source = stack.enter_context(_source(_source_settings(flags), flags))
        letters = None
        if flags.dead_letters:
            letters = stack.enter_context(DeadLetters(source.broker, flags.dead_letters))
        told = Told(ready, flags.dataset, letters)
        bridge = Bridge(owner, source, flags.dataset, reader, cut, told)
        bridge.run(_stopped(), to_the_end=flags.to_the_end, fin=flags.fin)
        told.ended()
    return 0


def _parser() -> argparse.ArgumentParser:
    made = parser("bridge", NOUNS["bridge"])
    made.add_argument("topic", help="a topic of your own cluster")
    made.add_argument("--dataset", required=True, metavar="NAME", help="where its rows go")
    made.add_argument(
        "--source", metavar="FILE", help="your cluster: bootstrap_servers and [kafka], as --config"
    )
    made.add_argument("--source-servers", metavar="HOST:PORT", help="instead of that file's")
    made.add_argument("--partitions", metavar="LIST", help="such as 0-3,7; default: all")
    made.add_argument(
        "--format", default="json", help="json, msgpack, or module:function from bytes to a row"
    )
    made.add_argument(
        "--envelope", choices=ENVELOPES, default="none", help="what a row is wrapped in (none)"
    )
    made.add_argument(
        "--column",
        action="append",
        default=[],
        metavar="NAME=FIELD",
        help="a column of the schema that has another name in the source",
    )
    made.add_argument("--rows-per-shard", type=int, metavar="N", help="default: what fits")
    made.add_argument(
        "--max-wait", type=float, default=10.0, metavar="SECONDS", help="a row waits at most (10)"
    )
    made.add_argument(
        "--dead-letters", metavar="TOPIC", help="of your own cluster, for what is no row"
    )
    made.add_argument(
        "--to-the-end", action="store_true", help="end when all that is there now is sent"
    )
    made.add_argument("--fin", action="store_true", help="say then that the data set is whole")
    add_member(made, "owner")
    return made


def _fields(words: Sequence[str]) -> dict[str, str]:
    pairs = [word.partition("=") for word in words]
    if bad := [name for name, equals, field in pairs if not (name and equals and field)]:
        raise UsageRefused("a column is renamed by NAME=FIELD", got=repr(bad[0][:40]))
    return {name: field for name, _, field in pairs}


def _source_settings(flags: argparse.Namespace) -> Settings:
    """Return the settings of the owner's own cluster: nothing of them is the job's.

    :raises UsageRefused: it is not named.
    """
    if flags.fin and not flags.to_the_end:
        raise UsageRefused("a source without an end has no fin", expected="--to-the-end --fin")
    if flags.source is None and flags.source_servers is None:
        raise UsageRefused("which cluster?", expected="--source FILE or --source-servers HOST:PORT")
    given = {"bootstrap_servers": flags.source_servers}
    return resolve(given, {}, flags.source or os.devnull)


def _source(settings: Settings, flags: argparse.Namespace) -> SourceTopic:
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


def _stopped() -> threading.Event:
    """Return an event that SIGTERM and Ctrl-C set: what is under way is finished then."""
    stop = threading.Event()

    def asked(_number: int, _frame: object) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, asked)
    signal.signal(signal.SIGINT, asked)
    return stop


class Told:
    """Prints what a bridge does: a line for each shard, and what was no row."""

    def __init__(self, ready: Context, dataset: str, letters: DeadLetters | None) -> None:
        self._ready = ready
        self._data_set = dataset
        self._letters = letters
        self._refused: Counter[str] = Counter()
        self._rows = 0
        self._shards = 0

    def opened(self, publication: Publication, position: Position) -> None:
        """Say where reading goes on."""
        fields = {
            "dataset": self._data_set,
            "rows": position.rows,
            "shards": publication.accept.next_number,
            "offsets": dict(position.offsets),
        }
        sentence = f"{self._data_set}: goes on behind {position.rows} rows"
        self._ready.output.data("bridge.opened", fields, sentence)

    def shard(self, publication: Publication, number: int, window: Window) -> None:
        """Say what is in a shard, before anything of it is sent."""
        rows = window.stop - window.start
        self._rows, self._shards = self._rows + rows, self._shards + 1
        fields: dict[str, Any] = {
            "dataset": self._data_set,
            "session": publication.keys.session.hex(),
            "shard": number,
            "rows": rows,
            "from": _offsets(window.before),
            "to": _offsets(window.token),
            "refused": dict(self._refused),
        }
        self._ready.output.data(
            "bridge.shard", fields, f"{self._data_set}: shard {number}, {rows} rows"
        )

    def accepted(self, publication: Publication, sent: Sent) -> None:
        """Say what a receipt of an accepted shard names; for programs."""
        fields = {
            "dataset": self._data_set,
            "session": publication.keys.session.hex(),
            "shard": sent.number,
            "digest": sent.digest.hex(),
        }
        self._ready.output.data("bridge.accepted", fields, "")

    def refused(self, one: Refused) -> None:
        """Count a record that is no row, name it, and put it aside where that is asked for."""
        self._refused[one.reason.value] += 1
        if self._refused.total() <= NAMED:
            where = f"{one.record.partition} at {one.record.offset}"
            detail = f": {one.detail}" if one.detail else ""
            self._ready.output.note(f"{where} is no row, {one.reason.value}{detail}")
        if self._letters is not None:
            self._letters.put(one)

    def settle(self) -> None:
        """Wait for dead letters: the next token is behind them."""
        if self._letters is not None:
            self._letters.settle()

    def ended(self) -> None:
        """Say what was done."""
        self.settle()
        fields = {
            "dataset": self._data_set,
            "rows": self._rows,
            "shards": self._shards,
            "refused": dict(self._refused),
        }
        left = ", ".join(f"{count} {reason}" for reason, count in sorted(self._refused.items()))
        sentence = f"{self._data_set}: {self._rows} rows in {self._shards} shards, accepted"
        self._ready.output.data(
            "bridge", fields, f"{sentence}; no rows: {left}" if left else sentence
        )


def _offsets(token: bytes) -> Mapping[int, int]:
    return dict(Position.unpack(token).offsets)
