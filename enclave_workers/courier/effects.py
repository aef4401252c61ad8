"""All I/O of a courier, behind named points where a crash may be asked for.

What a courier does besides: it starts its core, talks to it over their one connection, logs, and
reads job file and configuration before there is a core.

A test that wants a process to die at a point passes ``at_point``; in production it does nothing.
Some effects have no point, because they change nothing, in a broker or here, and leave no state to
lose: watermarks and numbers of partitions, files that the operator named, the clock. A worker that
dies around one of them dies as it would at the points before and behind it, and asks again when it
is started again. To follow a topic does nothing until the next poll, and what was read ahead is
nobody's until a poll hands it over. ``tests/architecture/test_effects.py`` lists them by name.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

from chiron_stream.broker.catalogue import Catalogue
from chiron_stream.broker.extents import read_until
from chiron_stream.broker.groups import Group, Joining
from chiron_stream.broker.ranges import refuse_out_of_range
from chiron_stream.broker.records import (
    Isolation,
    Outgoing,
    Partition,
    Position,
    Record,
    Watermarks,
)
from chiron_stream.broker.seam import Broker, Producer, Reader, TransactionalWriter
from chiron_stream.errors import Fenced, UsageRefused
from chiron_stream.wire.courier import ANSWER_BYTES, Send
from enclave_workers.courier.following import Follower

MARK_HEADER: Final = "mark"
_READ_WAIT: Final = 0.01
"""Seconds that a broker may hold a read back for more: reads of what is there do not wait."""

POINTS: Final = (
    "append.before",
    "append.sent",
    "append.after",
    "writer.before",
    "writer.after",
    "commit.before",
    "commit.sent",
    "commit.after",
    "read.before",
    "read.after",
    "poll.before",
    "poll.after",
    "consume.before",
    "consume.after",
    "settle.before",
    "settle.after",
    "newest.before",
    "newest.after",
    "relay.before",
    "relay.after",
    "status.before",
    "status.sent",
    "status.after",
)
"""Where a crash may be asked for: before an effect, when it is handed over and nobody has
acknowledged it yet, and when it is done and the core does not know."""


def no_point(_name: str) -> None:
    """Pass every point by."""


class Effects:
    """What a courier does to a broker.

    :param name: the job's, as in its topics; the coordinator's transactional id comes from it.
    :param at_point: called with a point's name whenever it is passed.
    :param join: joins the group that shares a topic, for roles that share one.
    """

    def __init__(
        self,
        broker: Broker,
        catalogue: Catalogue,
        name: str,
        at_point: Callable[[str], None] = no_point,
        join: Joining | None = None,
    ) -> None:
        self._broker = broker
        self._catalogue = catalogue
        self._name = name
        self._at = at_point
        self._join = join
        self._groups: dict[str, Group] = {}
        self._producer: Producer | None = None
        self._writer: TransactionalWriter | None = None
        self._arrived = threading.Condition()
        self._wanted: dict[Isolation, dict[Partition, int]] = {}
        self._followers: list[Follower] = []
        self._readers: dict[tuple[Partition, Isolation], Reader] = {}
        self._topics: dict[str, str] = {}
        self._counts: dict[str, int] = {}
        self._known: dict[Partition, Watermarks] = {}
        self._authority_at_start = 0

    def place(self, topic: str, partition: int) -> Partition:
        """Return a partition of this job's topic.

        :raises UsageRefused: the catalogue has no such topic.
        """
        found = self._catalogue.topics.get(topic)
        if found is None:
            raise UsageRefused("no such topic in the catalogue", code="UNKNOWN_TOPIC", got=topic)
        name = found.on_broker(self._name)
        self._topics[name] = topic
        return Partition(name, partition)

    def topic_of(self, record: Record) -> str:
        """Return the catalogue's name of a record's topic."""
        return self._topics[record.partition.topic]

    def partitions(self, topic: str) -> int:
        """Return how many partitions a topic has."""
        name = self.place(topic, 0).topic
        if name not in self._counts:
            state = self._broker.administration().describe([name]).get(name)
            if state is None:
                raise UsageRefused(
                    f"there is no topic {name}",
                    code="UNKNOWN_TOPIC",
                    hint="run: chiron topics apply",
                )
            self._counts[name] = state.partitions
        return self._counts[name]

    def watermarks(self, topic: str, partition: int) -> Watermarks:
        """Return how far a partition reaches."""
        return self._broker.watermarks(self.place(topic, partition))

    def reading(self) -> list[tuple[str, int, int]]:
        """Return how far the core has come in what it follows: topic, next offset, end.

        For telemetry, from another thread; ``end`` is what a reader of that kind can come to.

        :raises ChironError: the broker does not answer.
        """
        found = []
        for follower in list(self._followers):
            committed = follower.isolation is Isolation.READ_COMMITTED
            for place, position in follower.positions().items():
                marks = self._broker.watermarks(place)
                end = marks.stable if committed else marks.high
                found.append((self._topics[place.topic], position, end))
        return found

    def follow(self, topic: str, partition: int, offset: int, *, committed: bool) -> None:
        """Read a partition ahead from an offset on; begins with the next :meth:`poll`."""
        isolation = Isolation.READ_COMMITTED if committed else Isolation.READ_UNCOMMITTED
        self._wanted.setdefault(isolation, {})[self.place(topic, partition)] = offset

    def consume(self, topic: str) -> None:
        """Join the group that shares a topic.

        :raises UsageRefused: this worker shares none.
        """
        if self._join is None:
            raise UsageRefused("this worker shares no topic", got=topic)
        self._at("consume.before")
        name = self.place(topic, 0).topic
        self._groups[topic] = self._join(name, self._wake)
        self._at("consume.after")

    def _wake(self) -> None:
        with self._arrived:
            self._arrived.notify_all()

    def settle(self, topic: str, partition: int, offsets: Sequence[int]) -> None:
        """Be done with records of a shared topic."""
        self._at("settle.before")
        self._groups[topic].settle(self.place(topic, partition), offsets)
        self._at("settle.after")

    def poll(self, limit: int, seconds: float) -> list[Record]:
        """Return followed records, waiting up to ``seconds`` for the first."""
        self._at("poll.before")
        for isolation, start in self._wanted.items():
            reader = self._broker.reader(start, isolation=isolation)
            self._followers.append(Follower(reader, start, isolation, self._arrived))
        self._wanted = {}
        with self._arrived:
            self._arrived.wait_for(self._anything, seconds)
            taken: list[Record] = []
            for follower in self._followers:
                if follower.error is not None:
                    raise follower.error
                while follower.records and len(taken) < limit:
                    taken.append(follower.records.popleft())
            self._arrived.notify_all()
            for group in self._groups.values():
                taken += group.taken(limit - len(taken))
        self._at("poll.after")
        return taken

    def _anything(self) -> bool:
        return any(one.records or one.error is not None for one in self._followers) or any(
            group.waits() for group in self._groups.values()
        )

    def read(
        self, topic: str, partition: int, first: int, end: int, *, committed: bool
    ) -> tuple[list[Record], int]:
        """Return records from ``first`` on, and the offset behind them: ``end`` or earlier.

        :raises Withheld: ``first`` is below the low watermark.
        :raises RolledBack: ``end`` is above the end of the log.
        """
        self._at("read.before")
        place = self.place(topic, partition)
        self._check_range(place, first, end)
        reader = self._reader(place, first, committed=committed)
        taken, behind = _fitting(read_until(reader, place, end), end)
        self._at("read.after")
        return taken, behind

    def _check_range(self, place: Partition, first: int, end: int) -> None:
        """Refuse offsets that the partition does not have; ask again only beyond what is known.

        A log only grows: what was below its end still is. Records that went since are noticed by
        the read itself.
        """
        known = self._known.get(place)
        if known is None or not known.low <= first or end > known.high:
            known = self._known[place] = self._broker.watermarks(place)
        refuse_out_of_range(place, first, known)
        refuse_out_of_range(place, end, known)

    def _reader(self, place: Partition, first: int, *, committed: bool) -> Reader:
        isolation = Isolation.READ_COMMITTED if committed else Isolation.READ_UNCOMMITTED
        reader = self._readers.get((place, isolation))
        if reader is None:
            reader = self._broker.reader({place: first}, isolation=isolation, wait=_READ_WAIT)
            self._readers[place, isolation] = reader
        elif reader.position(place) != first:  # a seek forgets what was fetched ahead
            reader.seek(place, first)
        return reader

    def append(self, records: Sequence[Send]) -> tuple[int, ...]:
        """Append outside transactions; return offsets when all are acknowledged."""
        self._at("append.before")
        outgoing = [self._outgoing(record) for record in records]
        positions = self._appended(outgoing, lambda: self._at("append.sent"))
        self._at("append.after")
        return tuple(one.offset for one in positions)

    def _appended(self, records: Sequence[Outgoing], sent: Callable[[], None]) -> list[Position]:
        if self._writer is not None:
            return self._writer.send_plain(records, sent)
        if self._producer is None:
            self._producer = self._broker.producer()
        deliveries = [self._producer.send(record) for record in records]
        sent()
        return [one.result() for one in deliveries]

    def _outgoing(self, record: Send) -> Outgoing:
        headers = ((MARK_HEADER, record.mark),) if record.mark else ()
        place = self.place(record.topic, record.partition)
        return Outgoing(place, record.value, record.key or None, headers)

    def start_writer(self) -> None:
        """Become the job's one transactional writer."""
        self._at("writer.before")
        self._authority_at_start = self.watermarks("authority", 0).high
        self._writer = self._broker.transactional_writer(
            f"chiron.{self._name}.coordinator", successor=self._succeeded
        )
        self._writer.start()
        self._authority_at_start = self.watermarks("authority", 0).stable
        self._at("writer.after")

    def _succeeded(self) -> bool:
        """Tell whether another coordinator has written to ``authority`` since this one began."""
        return self.watermarks("authority", 0).stable > self._authority_at_start

    def commit(self, records: Sequence[Send]) -> tuple[int, ...]:
        """Append in one transaction; return offsets when readers can see all of it."""
        if self._writer is None:
            raise Fenced("there is no transactional writer", code="WRITER_ORDER")
        self._at("commit.before")
        transaction = self._writer.begin()
        for record in records:
            transaction.send(self._outgoing(record))
        self._at("commit.sent")
        offsets = tuple(position.offset for position in transaction.commit())
        if any(record.topic == "authority" for record in records):
            self._authority_at_start = self.watermarks("authority", 0).stable
        self._at("commit.after")
        return offsets

    def newest_mark(self, topic: str, mark: bytes, look_back: int) -> int:
        """Return the offset of the newest record with a mark, or -1; looks back so far."""
        self._at("newest.before")
        place = self.place(topic, 0)
        marks = self._broker.watermarks(place)
        first = max(marks.low, marks.stable - look_back)
        found = self._marked(place, first, marks.stable, mark) if first < marks.stable else []
        self._at("newest.after")
        return max(found, default=-1)

    def _marked(self, place: Partition, first: int, end: int, mark: bytes) -> list[int]:
        with self._broker.reader({place: first}) as reader:
            return [
                record.offset
                for record in read_until(reader, place, end)
                if (MARK_HEADER, mark) in record.headers
            ]

    def relay(self, carry: Callable[[bytes], bytes], request: bytes) -> bytes:
        """Return what the quoting service answers; ``carry`` takes bytes there and back."""
        self._at("relay.before")
        answer = carry(request)
        self._at("relay.after")
        return answer

    def show(self, status: Path, text: str) -> None:
        """Replace a status file as a whole."""
        self._at("status.before")
        scratch = status.with_suffix(".new")
        scratch.write_text(text)
        self._at("status.sent")
        scratch.rename(status)
        self._at("status.after")

    def contents(self, *files: Path) -> tuple[bytes, ...]:
        """Return the bytes of files that the operator named."""
        return tuple(one.read_bytes() for one in files)

    def now(self) -> float:
        """Return Unix seconds."""
        return time.time()

    def close(self) -> None:
        """Disconnect from everything."""
        for group in self._groups.values():
            group.close()
        for follower in self._followers:
            follower.stop()
        for reader in self._readers.values():
            reader.close()
        for client in (self._producer, self._writer):
            if client is not None:
                client.close()


def _fitting(records: Iterable[Record], end: int) -> tuple[list[Record], int]:
    """Return the records that fit into one answer, one at least, and the offset behind them."""
    taken: list[Record] = []
    size = 0
    for record in records:
        if taken and size + len(record.value) > ANSWER_BYTES:
            return taken, record.offset
        taken.append(record)
        size += len(record.value)
    return taken, end
