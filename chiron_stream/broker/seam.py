"""The seam to Kafka: what the rest of the project may ask of a broker.

Two implementations ship, and the same test cases run against both:
:class:`chiron_stream.broker.kafka.KafkaBroker` speaks to a real Apache Kafka,
:class:`chiron_stream.broker.memory.MemoryBroker` keeps logs in this process.

What holds behind the seam:

* A record is acknowledged when all in-sync replicas have it. A failed delivery is *not* an absent
  record: it may appear later.
* Readers never jump. A read below the low watermark is
  :class:`~chiron_stream.errors.Withheld`, above the end
  :class:`~chiron_stream.errors.RolledBack`.
* A transaction is all or nothing to readers of committed records, and a writer whose transaction
  met any error is finished.
* Nothing is decided by an offset: callers verify what they read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Protocol, Self

from chiron_stream.broker.records import (
    Isolation,
    Outgoing,
    Partition,
    Position,
    Record,
    TopicState,
    Watermarks,
)


class Closing(Protocol):
    """Something that holds connections until it is closed; the end of its block closes it too."""

    def close(self) -> None:
        """Release everything; a second call does nothing."""
        ...

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class Delivery(Protocol):
    """The acknowledgement of one record, when it comes."""

    def result(self, timeout: float | None = None) -> Position:
        """Wait for the acknowledgement.

        :param timeout: seconds; the default waits as long as a delivery may take.
        :raises Timeout: none came in time; the record may still appear.
        :raises ChironError: the broker refused it, or could not be reached.
        """
        ...

    @property
    def done(self) -> bool:
        """Whether the outcome is known."""
        ...


class Producer(Closing, Protocol):
    """Appends records outside transactions, each with its own acknowledgement."""

    def send(self, record: Outgoing) -> Delivery:
        """Hand over one record; blocks only while too many bytes are on their way.

        :raises PolicyRefused: larger than its topic allows; nothing was sent.
        :raises Timeout: no room within the delivery time-out; nothing was sent.
        """
        ...

    def flush(self, timeout: float | None = None) -> None:
        """Wait until every record handed over has an outcome (which may be a failure)."""
        ...


class Transaction(Protocol):
    """One open transaction of a :class:`TransactionalWriter`."""

    def send(self, record: Outgoing) -> None:
        """Add a record. Readers of committed records see it after ``commit``, or never."""
        ...

    def flush(self) -> list[Position]:
        """Wait for every record to be acknowledged; positions in order of sending."""
        ...

    def commit(self) -> list[Position]:
        """Flush, then commit; return the positions in order of sending.

        When this returns, readers of committed records can see the whole of it in every partition.

        :raises Fenced: a successor has taken over; nothing of this transaction is visible.
        :raises WriterLost: any other error; whether it committed is for the log to say.
        """
        ...


class TransactionalWriter(Closing, Protocol):
    """The one writer of a set of topics: a transactional producer and a plain one beside it.

    Any error finishes the writer, and the error stays its answer. It is never aborted or retried
    from here: the next epoch belongs to a successor.
    """

    def start(self) -> None:
        """Fence every earlier writer of this transactional id, and settle what it left open."""
        ...

    def begin(self) -> Transaction:
        """Open the next transaction; the one before must have been committed."""
        ...

    def send_plain(
        self, records: Sequence[Outgoing], sent: Callable[[], None] = lambda: None
    ) -> list[Position]:
        """Append outside any transaction and wait until all are acknowledged.

        For chunks that a later transaction's head points to: without the head they are garbage.

        :param sent: called when all are handed over, before any acknowledgement is waited for.
        """
        ...


class Reader(Closing, Protocol):
    """Reads assigned partitions in order of offset. Not for use by two threads at once."""

    def poll(self, timeout: float, limit: int = 500) -> list[Record]:
        """Return up to ``limit`` records, waiting at most ``timeout`` seconds for the first.

        :raises Withheld: the next offset is below the low watermark.
        :raises RolledBack: the next offset is above the end of the log.
        """
        ...

    def position(self, partition: Partition) -> int:
        """Return the next offset; it moves over markers and aborted records too."""
        ...

    def seek(self, partition: Partition, offset: int) -> None:
        """Read on at ``offset``."""
        ...


class Administration(Protocol):
    """Topics of a broker, as the catalogue needs them."""

    def describe(self, topics: Sequence[str]) -> dict[str, TopicState]:
        """Return the state of those of ``topics`` that exist."""
        ...

    def create(self, topic: str, state: TopicState) -> None:
        """Create a topic and wait until each partition has a leader."""
        ...

    def configure(self, topic: str, settings: Mapping[str, str]) -> None:
        """Set these settings of an existing topic, leaving all others."""
        ...

    def delete_records(self, partition: Partition, before: int) -> None:
        """Move the low watermark up to ``before``: what is below is gone."""
        ...


class Broker(Closing, Protocol):
    """A cluster, reached. All methods may be called from any thread."""

    def producer(self) -> Producer:
        """Return a new plain producer."""
        ...

    def transactional_writer(
        self, transactional_id: str, *, successor: Callable[[], bool], timeout: float = ...
    ) -> TransactionalWriter:
        """Return a writer; nothing is sent before its ``start``.

        :param transactional_id: names the one writer; a second ``start`` fences the first.
        :param successor: asked after an error whether another writer has taken over. A broker's
            error cannot tell fencing from an expired transaction: the caller's own log can.
        :param timeout: seconds until the broker aborts a silent writer's transaction.
        """
        ...

    def reader(
        self,
        start: Mapping[Partition, int],
        *,
        isolation: Isolation = Isolation.READ_COMMITTED,
        wait: float = ...,
    ) -> Reader:
        """Return a reader of these partitions, each from the named offset on.

        :param wait: seconds that the broker may hold an answer back for records to come; short
            for readers that seek to what is there, or a seek waits for the answer before it.
        """
        ...

    def watermarks(self, partition: Partition) -> Watermarks:
        """Return how far a partition reaches now."""
        ...

    def administration(self) -> Administration:
        """Return the calls that look at and change topics."""
        ...
