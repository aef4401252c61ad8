"""A sink for an agent of one's own Faust application: what it yields becomes rows of a data set.

>>> app = faust.App("ward", broker="kafka://own-cluster:9092")  # doctest: +SKIP
>>> sink = faust_sink(DataOwner("job.json", "me.identity"), dataset="icu")  # doctest: +SKIP
>>> @app.agent(app.topic("vitals", value_type=bytes), sink=[sink])  # doctest: +SKIP
... async def rows(stream):
...     async for value in stream:
...         yield {"age": ..., "bp": ...}

Each row carries the place of the record that it was made of. A record is acknowledged to Faust when
the coordinator has accepted the shard that it is in, not before, and one whose shard was accepted
in an earlier life is passed over when Faust brings it again. So each record is trained on once.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

from chiron_stream.bridge.decoding import Row, plain
from chiron_stream.bridge.gathering import Refused
from chiron_stream.bridge.positions import Position
from chiron_stream.bridge.windowing import Cut, Windowing
from chiron_stream.broker.records import Partition, Record
from chiron_stream.clients.owner import DataOwner
from chiron_stream.clients.publication import Publication, rows_that_fit
from chiron_stream.clients.windows import Window
from chiron_stream.errors import ChironError, PolicyRefused, UsageRefused
from chiron_stream.wire.replies import Accept

WAITING_ROWS: Final = 10_000
"""Rows handed over and not yet taken, at most: the agent waits beyond."""

_LOOK: Final = 0.05
"""Seconds of one look for rows, and for the coordinator's word."""


class _Handed(NamedTuple):
    """A row, the record that it was made of, and how to acknowledge that."""

    record: Record
    row: Row
    acknowledge: Callable[[], object]


class _Gone:
    """Windows of rows that nobody can read again: an agent made them."""

    rows = None

    def position(self, token: bytes) -> int:
        """Return the row behind a token."""
        return Position.unpack(token).rows if token else 0

    def shards(self, _accept: Accept) -> Iterator[tuple[int, Window]]:
        """Yield no parked shard: an open job goes on without them."""
        yield from ()

    def again(self, _before: bytes, _token: bytes) -> Window:
        """Raise: the rows went by."""
        raise PolicyRefused(
            "a shard was damaged on its way, and its rows went by",
            code="ROWS_GONE",
            expected="a source that can be read again",
            hint="have the agent write to a topic of yours, and chiron bridge read it",
        )


class FaustSink:
    """Takes what an agent yields, one row for each record of one topic.

    ``counts`` has, by reason, how many were no row. Made by :func:`faust_sink`.
    """

    def __init__(self, owner: DataOwner, dataset: str, cut: Cut) -> None:
        self._owner = owner
        self._data_set = dataset
        self._cut = cut
        self._handed: queue.Queue[_Handed] = queue.Queue(WAITING_ROWS)
        self._rows: dict[tuple[int, int], Row] = {}
        self._open: list[_Handed] = []
        self._shards: deque[tuple[int, list[_Handed]]] = deque()
        self._last: dict[Partition, Any] = {}
        self._error: ChironError | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sink", daemon=True)
        self.counts: Counter[str] = Counter()

    async def __call__(self, row: Row) -> None:
        """Take a row; waits while too many do.

        :raises UsageRefused: outside of an agent, or a second row of one record.
        :raises ChironError: what ended the publication: nothing more is acknowledged.
        """
        import faust

        event = faust.current_event()
        if event is None:
            raise UsageRefused("a sink takes what an agent yields for a record of a topic")
        event.message.incref()  # until its shard is accepted
        handed = self._placed(event, row, asyncio.get_running_loop())
        if self._thread.ident is None:
            self._thread.start()
        while True:
            if self._error is not None:
                raise self._error
            try:
                return self._handed.put_nowait(handed)
            except queue.Full:
                await asyncio.sleep(_LOOK)

    def _placed(self, event: Any, row: Row, loop: asyncio.AbstractEventLoop) -> _Handed:
        message = event.message
        place = Partition(message.topic, message.partition)
        topics = {one.topic for one in self._last} | {place.topic}
        if len(topics) > 1 or self._last.get(place) is message:  # when it comes again it is another
            raise UsageRefused(
                "a sink takes one row for each record of one topic",
                expected="one row a record; a sink, and a data set, for each topic",
                got=f"another row of {place} at {message.offset}",
            )
        self._last[place] = message
        record = Record(place, message.offset, b"", None, (), 0)
        return _Handed(record, row, lambda: loop.call_soon_threadsafe(event.ack))

    def _run(self) -> None:
        try:
            publication = self._owner.open_publication(self._data_set, _Gone(), dropped={})
            try:
                self._publish(publication)
            finally:
                publication.close()
        except ChironError as error:
            self._error = error

    def _publish(self, publication: Publication) -> None:
        token = publication.accept.token
        position = Position.unpack(token) if token else Position(0, {})
        schema = self._owner.job.policy.schema
        windowing = Windowing(publication, schema, self._row, position, self._cut, self)
        while not self._stop.is_set():
            for handed in self._taken():
                self._take(windowing, handed)
            if windowing.waited():
                windowing.flush()
            publication.go_on(0.0)
            self._acknowledge(publication)
            publication.forget_settled()

    def _taken(self) -> Iterator[_Handed]:
        """Yield rows that were handed over, after a while even if there is none."""
        try:
            yield self._handed.get(timeout=_LOOK)
            while True:
                yield self._handed.get_nowait()
        except queue.Empty:
            return

    def _take(self, windowing: Windowing, handed: _Handed) -> None:
        if not windowing.is_new(handed.record):
            self._again(handed)
            return
        self._open.append(handed)
        self._rows[_place(handed.record)] = handed.row
        windowing.take(handed.record)

    def _again(self, handed: _Handed) -> None:
        """Take a record that Faust brings twice, as it does when it had lost its group for a while.

        It is acknowledged with the first one: at once if its shard was accepted, and not before.
        """
        for waiting in (*(rows for _, rows in self._shards), self._open):
            if any(one.record == handed.record for one in waiting):
                waiting.append(handed)
                return
        handed.acknowledge()

    def _row(self, record: Record) -> Row:
        return plain(self._rows.pop(_place(record)))

    def _acknowledge(self, publication: Publication) -> None:
        while self._shards and publication.is_accepted(self._shards[0][0]):
            for handed in self._shards.popleft()[1]:
                handed.acknowledge()

    def opened(self, publication: Publication, position: Position) -> None:
        """Hear nothing: this side opened it."""

    def shard(self, _publication: Publication, number: int, _window: Window) -> None:
        """Note which records are in a shard."""
        self._shards.append((number, self._open))
        self._open = []

    def refused(self, one: Refused) -> None:
        """Count what is no row."""
        self.counts[one.reason.value] += 1

    def settle(self) -> None:
        """Be done with what was refused: it was counted."""

    def close(self) -> None:
        """End the publication; what is not accepted is Faust's to bring again."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()
        self._owner.close()


def _place(record: Record) -> tuple[int, int]:
    return record.partition.number, record.offset


def faust_sink(
    owner: DataOwner, dataset: str, *, rows_per_shard: int | None = None, max_wait: float = 10.0
) -> FaustSink:
    """Return a sink that publishes what an agent yields: ``@app.agent(topic, sink=[...])``.

    One process at a time publishes a data set: give each its own, or run one.

    :param owner: the sink closes it.
    :param rows_per_shard: the default is what fills the policy's largest shard class.
    :param max_wait: seconds that a row waits for its shard to fill.
    """
    rows = rows_that_fit(owner.job.policy) if rows_per_shard is None else rows_per_shard
    return FaustSink(owner, dataset, Cut(rows, max_wait))
