"""Answers the requests of one core, one at a time, over its connection."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from chiron_stream.errors import ChironError, UsageRefused
from chiron_stream.wire import courier, frames
from chiron_stream.wire.courier import Line, Lines
from enclave_workers.courier.effects import Effects

SNAPSHOT_LOOK_BACK: Final = 20_000
"""Journal offsets searched for the newest snapshot; beyond, replay starts at the beginning."""


@dataclass(frozen=True)
class Outside:
    """What a courier has besides the broker.

    :param job: the job file's text.
    :param relay: carries sealed bytes to the development quoting service, for simulated jobs.
    :param collateral: JSON and DER files for hardware quotes.
    """

    job: str
    threads: int
    relay: Callable[[bytes], bytes] | None = None
    collateral: tuple[Path, Path] | None = None


def _unheard(_request: courier.Request) -> None:
    """Tell nobody."""


class Server:
    """Serves one core until it closes its connection.

    :param told: gets every :class:`~chiron_stream.wire.courier.Progress`.
    :param asked: gets every request that was answered.
    """

    def __init__(
        self,
        effects: Effects,
        outside: Outside,
        told: Callable[[courier.Progress], None],
        asked: Callable[[courier.Request], None] = _unheard,
    ) -> None:
        self._effects = effects
        self._outside = outside
        self._told = told
        self._asked = asked
        self.ended: courier.Ended | None = None
        self.draining = False
        """Set, from any thread or signal handler, to ask the core for its end."""

    def serve(self, connection: socket.socket) -> None:
        """Answer until end of file."""
        while (data := _receive_frame(connection)) is not None:
            try:
                request = frames.request(data)
                answer = self._answer(request)
                self._asked(request)
            except ChironError as error:
                kind = type(error).__name__
                answer = courier.Untaken(kind, error.code, str(error)[:600])
            for part in frames.pack(answer):
                connection.sendall(part)

    def _answer(self, request: courier.Request) -> courier.Answer:
        return _HANDLERS[type(request)](self, request)

    def _begin(self, _request: courier.Begin) -> courier.Answer:
        return courier.Job(self._outside.job, int(self._effects.now()), self._outside.threads)

    def _tail(self, request: courier.Tail) -> courier.Answer:
        self._effects.follow(
            request.topic, request.partition, request.offset, committed=request.committed
        )
        return courier.Taken()

    def _consume(self, request: courier.Consume) -> courier.Answer:
        self._effects.consume(request.topic)
        return courier.Taken()

    def _settled(self, request: courier.Settled) -> courier.Answer:
        self._effects.settle(request.topic, request.partition, request.offsets)
        return courier.Taken()

    def _reach(self, request: courier.Reach) -> courier.Answer:
        marks = self._effects.watermarks(request.topic, request.partition)
        return courier.Marks(*marks, self._effects.partitions(request.topic))

    def _append(self, request: courier.Append) -> courier.Answer:
        return courier.Positions(self._effects.append(request.records), self.draining)

    def _start_writer(self, _request: courier.StartWriter) -> courier.Answer:
        self._effects.start_writer()
        return courier.Taken()

    def _commit(self, request: courier.Commit) -> courier.Answer:
        return courier.Positions(self._effects.commit(request.records), self.draining)

    def _newest(self, _request: courier.NewestSnapshot) -> courier.Answer:
        return courier.Hint(self._effects.newest_mark("journal", b"snapshot", SNAPSHOT_LOOK_BACK))

    def _progress(self, request: courier.Progress) -> courier.Answer:
        self._told(request)
        return courier.Taken()

    def _ended(self, request: courier.Ended) -> courier.Answer:
        self.ended = request
        return courier.Taken()

    def _poll(self, request: courier.Poll) -> Lines:
        records = self._effects.poll(request.limit, request.wait_ms / 1000)
        lines = tuple(
            Line(self._effects.topic_of(one), one.partition.number, one.offset, one.value)
            for one in records
        )
        return Lines(lines, int(self._effects.now() * 1000), 0, self.draining)

    def _read(self, request: courier.Read) -> Lines:
        records, behind = self._effects.read(
            request.topic,
            request.partition,
            request.first,
            request.end,
            committed=request.committed,
        )
        lines = tuple(
            Line(request.topic, request.partition, one.offset, one.value) for one in records
        )
        return Lines(lines, int(self._effects.now() * 1000), behind)

    def _relay(self, request: courier.Relay) -> courier.Answer:
        if self._outside.relay is None:
            raise UsageRefused("there is no quoting service", hint="run: chiron up")
        return courier.Relayed(self._effects.relay(self._outside.relay, request.request))

    def _collateral(self, _request: courier.Collateral) -> courier.Answer:
        if self._outside.collateral is None:
            raise UsageRefused(
                "there is no collateral for hardware quotes",
                hint="name its files with --collateral and --root",
            )
        return courier.Collected(*self._effects.contents(*self._outside.collateral))


_HANDLERS: Final[dict[type[courier.Request], Callable[[Server, Any], courier.Answer]]] = {
    courier.Begin: Server._begin,
    courier.Tail: Server._tail,
    courier.Consume: Server._consume,
    courier.Settled: Server._settled,
    courier.Poll: Server._poll,
    courier.Read: Server._read,
    courier.Reach: Server._reach,
    courier.Append: Server._append,
    courier.StartWriter: Server._start_writer,
    courier.Commit: Server._commit,
    courier.Relay: Server._relay,
    courier.Collateral: Server._collateral,
    courier.NewestSnapshot: Server._newest,
    courier.Progress: Server._progress,
    courier.Ended: Server._ended,
}


def _receive_frame(connection: socket.socket) -> bytearray | None:
    prefix = _receive(connection, 4)
    return None if prefix is None else _receive(connection, frames.length(prefix))


def _receive(connection: socket.socket, length: int) -> bytearray | None:
    data = bytearray(length)
    view = memoryview(data)
    while view:
        count = connection.recv_into(view)
        if not count:
            return None
        view = view[count:]
    return data
