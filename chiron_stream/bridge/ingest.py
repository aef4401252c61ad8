"""The bridge: an owner's own topic on one side, shards of a data set on the other.

Where it is stands in the resume token of each announcement and nowhere else. Started again after
whatever end, it goes on behind the last shard that the coordinator accepted: every record of the
source is in exactly one shard, and no spool, no state file and no group offset is needed for that.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from typing import Final, Protocol

from chiron_stream import timeouts
from chiron_stream.bridge.decoding import RowReader
from chiron_stream.bridge.gathering import Gathering, Rows, window
from chiron_stream.bridge.positions import Position
from chiron_stream.bridge.source import SourceTopic
from chiron_stream.bridge.windowing import Cut, Watcher, Windowing
from chiron_stream.clients.owner import DataOwner
from chiron_stream.clients.publication import Publication, Sent
from chiron_stream.clients.windows import Window, other_data
from chiron_stream.errors import PolicyRefused
from chiron_stream.job.schema import Schema
from chiron_stream.wire.replies import Accept

TAKEN_AT_ONCE: Final = 500
WAIT_SECONDS: Final = 0.05
"""How long a look at the coordinator's replies waits when no records do."""

GROUP: Final = "chiron-bridge"
"""How the ids of a bridge's consumer groups begin."""


class BridgeWatcher(Watcher, Protocol):
    """Hears also what the coordinator has taken."""

    def accepted(self, publication: Publication, sent: Sent) -> None:
        """Hear that a shard is accepted: session, number and digest are what receipts name."""
        ...


class TopicWindows:
    """Windows of a source topic; see :class:`~chiron_stream.clients.windows.Windows`.

    New ones come as the source grows: :meth:`shards` yields those that are parked.
    """

    rows = None

    def __init__(self, source: SourceTopic, schema: Schema, reader: RowReader) -> None:
        self._source = source
        self._schema = schema
        self._reader = reader

    def position(self, token: bytes) -> int:
        """Return the row behind a token."""
        return Position.unpack(token).rows if token else 0

    def shards(self, accept: Accept) -> Iterator[tuple[int, Window]]:
        """Yield number and rows of every parked shard, read from the source again."""
        for parked in accept.parked:
            yield parked.number, self.again(parked.before, parked.token)

    def again(self, before: bytes, token: bytes) -> Window:
        """Read the records between two tokens again.

        :raises Withheld: the source no longer has them.
        :raises PolicyRefused: they are other rows by now; code ``OTHER_DATA``.
        """
        behind = Position.unpack(token)
        front = Position.unpack(before) if before else behind.start
        if front is None:
            raise PolicyRefused(
                "a shard without its beginning",
                code="TOKEN",
                expected="the resume token of the shard before it",
                got="none",
            )
        found = self._read(front, behind)
        if front.rows + found.number != behind.rows:
            raise other_data(behind.rows, front.rows + found.number)
        return window(found, front, behind)

    def _read(self, front: Position, behind: Position) -> Rows:
        gathering = Gathering(self._schema, self._reader.of, front)
        for record in self._source.between(front, behind):
            gathering.take(record)
        return gathering.rows()


class Bridge:
    """Moves rows from a source into a data set, until it is stopped.

    :param owner: connected.
    :param watcher: hears of every shard and every refused record.
    """

    def __init__(
        self,
        owner: DataOwner,
        source: SourceTopic,
        dataset: str,
        reader: RowReader,
        cut: Cut,
        watcher: BridgeWatcher,
    ) -> None:
        self._owner = owner
        self._source = source
        self._data_set = dataset
        self._reader = reader
        self._cut = cut
        self._watcher = watcher
        self._schema = owner.job.policy.schema
        self._dropped: dict[str, None] = {}
        self._accepted: set[int] = set()

    def run(self, stop: threading.Event, *, to_the_end: bool = False, fin: bool = False) -> None:
        """Bridge until ``stop`` is set, or until everything that stands in the source now is sent.

        :param to_the_end: end when every record that is there at the start is in a shard.
        :param fin: say then that the data set is whole.
        :raises Withheld: the source no longer has what comes behind the last accepted shard.
        :raises SupersededPublisher: another publisher claimed the data set.
        """
        ends = self._source.ends() if to_the_end else None
        windows = TopicWindows(self._source, self._schema, self._reader)
        publication = self._owner.open_publication(self._data_set, windows, dropped=self._dropped)
        try:
            for number, parked in windows.shards(publication.accept):
                publication.add(number, parked)
            self._follow(publication, stop, ends)
            publication.finish(fin=fin and not stop.is_set())
            publication.wait("accepted", timeouts.SESSION)
            self._tell_accepted(publication)
        finally:
            publication.close()

    def _position(self, token: bytes) -> Position:
        """Return where reading goes on; a partition that is new begins at its first record."""
        if not token:
            position = self._source.beginning()
        else:
            known = Position.unpack(token)
            new = dict.fromkeys(self._source.partitions, 0)
            position = Position(known.rows, new | dict(known.offsets))
        self._source.check(position.offsets)
        position.room.pack()
        return position

    def _follow(
        self, publication: Publication, stop: threading.Event, ends: dict[int, int] | None
    ) -> None:
        position = self._position(publication.accept.token)
        self._watcher.opened(publication, position)
        made = publication, self._schema, self._reader.of, position, self._cut, self._watcher
        windowing = Windowing(*made)
        listening = self._source.listen(position, GROUP, lambda: None)
        try:
            while not stop.is_set():
                records = listening.taken(TAKEN_AT_ONCE)
                for record in records:
                    windowing.take(record)
                at_end = ends is not None and not records and self._is_read(windowing, ends)
                if at_end or windowing.waited():
                    windowing.flush()
                publication.go_on(0.0 if records else WAIT_SECONDS)
                self._tell_accepted(publication)
                publication.forget_settled()
                if at_end:
                    return
        finally:
            listening.close()

    def _tell_accepted(self, publication: Publication) -> None:
        """Tell of each shard that was accepted since the last look, once."""
        self._accepted &= publication.sent.keys()
        for number in sorted(publication.sent.keys() - self._accepted):
            if publication.is_accepted(number):
                self._accepted.add(number)
                self._watcher.accepted(publication, publication.sent[number])

    def _is_read(self, windowing: Windowing, ends: Mapping[int, int]) -> bool:
        """Tell whether every record in front of these ends was taken; markers are none."""
        behind = windowing.behind(ends)
        return all(self._source.is_empty(number, *span) for number, span in behind.items())
