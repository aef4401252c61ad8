"""The way in of ``chiron bridge``: rows of the owner's own topic into a data set."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

from chiron_stream.bridge.dead_letters import DeadLetters
from chiron_stream.bridge.gathering import Refused
from chiron_stream.bridge.ingest import Bridge
from chiron_stream.bridge.positions import Position
from chiron_stream.bridge.windowing import Cut
from chiron_stream.cli.bridging import Refusals, reader_of, source_of, stopped
from chiron_stream.cli.common import Context
from chiron_stream.cli.jobs import acting, connection, directory_of, evidence
from chiron_stream.cli.seldom import warn_seldom
from chiron_stream.clients.owner import DataOwner
from chiron_stream.clients.publication import Publication, Sent, rows_that_fit
from chiron_stream.clients.windows import Window
from chiron_stream.errors import UsageRefused
from chiron_stream.job.policy import Role


def bridge_rows(ready: Context) -> None:
    """Bridge until Ctrl-C or SIGTERM; with ``--to-the-end``, until all that is there is sent."""
    flags = ready.flags
    if given := [name for name in ("state", "group") if getattr(flags, name)]:
        raise UsageRefused(f"--{given[0]} is for --answers", expected="none with --dataset")
    if flags.fin and not flags.to_the_end:
        raise UsageRefused("a source without an end has no fin", expected="--to-the-end --fin")
    directory = directory_of(flags)
    job = directory.job()
    identity = acting(directory, job, Role.OWNER, flags)
    reader = reader_of(flags, job.policy.schema)
    rows = rows_that_fit(job.policy) if flags.rows_per_shard is None else flags.rows_per_shard
    cut = Cut(rows, flags.max_wait)
    with ExitStack() as stack:
        owner = DataOwner(job, identity, evidence=evidence(flags), **connection(ready, job))
        stack.enter_context(owner)
        source = stack.enter_context(source_of(flags))
        letters = None
        if flags.dead_letters:
            letters = stack.enter_context(DeadLetters(source.broker, flags.dead_letters))
        told = Told(ready, flags.dataset, letters)
        bridge = Bridge(owner, source, flags.dataset, reader, cut, told)
        warn_seldom()
        bridge.run(stopped(), to_the_end=flags.to_the_end, fin=flags.fin)
        told.ended()


class Told:
    """Prints what a bridge does: a line for each shard, and what was no row."""

    def __init__(self, ready: Context, dataset: str, letters: DeadLetters | None) -> None:
        self._ready = ready
        self._data_set = dataset
        self._letters = letters
        self._refused = Refusals(ready.output)
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
            "refused": self._refused.counts,
        }
        self._ready.output.data(
            "bridge.shard", fields, f"{self._data_set}: shard {number}, {rows} rows"
        )

    def accepted(self, publication: Publication, sent: Sent) -> None:
        """Say that the coordinator has a shard, and what its receipts name."""
        fields = {
            "dataset": self._data_set,
            "session": publication.keys.session.hex(),
            "shard": sent.number,
            "digest": sent.digest.hex(),
        }
        sentence = f"{self._data_set}: shard {sent.number} accepted"
        self._ready.output.data("bridge.accepted", fields, sentence)

    def refused(self, one: Refused) -> None:
        """Count a record that is no row, name it, and put it aside where that is asked for."""
        self._refused.note(one)
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
            "refused": self._refused.counts,
        }
        sentence = f"{self._data_set}: {self._rows} rows in {self._shards} shards, accepted"
        self._ready.output.data("bridge", fields, self._refused.ending(sentence))


def _offsets(token: bytes) -> Mapping[int, int]:
    return dict(Position.unpack(token).offsets)
