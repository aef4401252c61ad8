"""The state that all clients of an in-memory broker share: logs, topics, transactional ids."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from chiron_stream.broker.memory.log import Fate, OpenTransaction, PartitionLog
from chiron_stream.broker.records import (
    Isolation,
    Outgoing,
    Partition,
    Position,
    Record,
    TopicState,
    Watermarks,
)
from chiron_stream.errors import ChironError, UsageRefused


class StaleEpoch(ChironError):
    """The broker's word for a writer whose epoch is over: fenced, or its transaction expired."""

    default_code = "INVALID_PRODUCER_EPOCH"


@dataclass
class _Identity:
    """One transactional id: its newest epoch and what is open under it."""

    epoch: int = -1
    timeout: float = 0.0
    transaction: OpenTransaction | None = None


class Cluster:
    """Topics and transactions; every method is one atomic step under one lock.

    :param clock: seconds, monotonic; transactions expire by it.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._topics: dict[str, TopicState] = {}
        self._logs: dict[Partition, PartitionLog] = {}
        self._identities: dict[str, _Identity] = {}
        self._changed = threading.Condition()

    # Topics

    def create(self, topic: str, state: TopicState) -> None:
        """Create a topic; see :class:`~chiron_stream.broker.seam.Administration`."""
        with self._changed:
            if topic in self._topics:
                raise UsageRefused(f"the topic {topic} exists already", code="TOPIC_EXISTS")
            self._topics[topic] = TopicState(
                state.partitions, state.replication_factor or 1, dict(state.settings)
            )
            for number in range(state.partitions):
                partition = Partition(topic, number)
                self._logs[partition] = PartitionLog(partition)

    def describe(self, topics: Sequence[str]) -> dict[str, TopicState]:
        """Return the state of those of ``topics`` that exist."""
        with self._changed:
            return {topic: self._topics[topic] for topic in topics if topic in self._topics}

    def configure(self, topic: str, settings: Mapping[str, str]) -> None:
        """Set settings of an existing topic."""
        with self._changed:
            old = self._topics[topic]
            self._topics[topic] = TopicState(
                old.partitions, old.replication_factor, {**old.settings, **settings}
            )

    def delete_records(self, partition: Partition, before: int) -> None:
        """Move the low watermark up to ``before``."""
        with self._changed:
            self._log(partition).delete_before(before)

    def truncate(self, partition: Partition, end: int) -> None:
        """Shorten a log, as a dishonest or broken broker would."""
        with self._changed:
            self._log(partition).truncate(end)

    # Records

    def append(self, record: Outgoing) -> Position:
        """Append outside transactions."""
        with self._changed:
            offset = self._log(record.partition).append(record, self._now_ms(), None)
            self._changed.notify_all()
            return Position(record.partition, offset)

    def watermarks(self, partition: Partition) -> Watermarks:
        """Return how far a partition reaches now."""
        with self._changed:
            self._expire()
            return self._log(partition).watermarks()

    def read(
        self, partition: Partition, offset: int, limit: int, isolation: Isolation
    ) -> tuple[list[Record], int]:
        """Return visible records from ``offset`` on, and the offset to go on at."""
        with self._changed:
            self._expire()
            return self._log(partition).read(offset, limit, isolation)

    def wait(self, seconds: float) -> None:
        """Wait until something was appended or a transaction ended, or for ``seconds``."""
        with self._changed:
            self._changed.wait(seconds)

    # Transactions

    def start_writer(self, transactional_id: str, timeout: float) -> int:
        """Fence earlier writers, abort what they left open, return the new epoch."""
        with self._changed:
            identity = self._identities.setdefault(transactional_id, _Identity())
            self._end(identity, Fate.ABORTED)
            identity.epoch += 1
            identity.timeout = timeout
            return identity.epoch

    def append_in_transaction(
        self, transactional_id: str, epoch: int, record: Outgoing
    ) -> Position:
        """Append under a transactional id; opens its transaction with the first record."""
        with self._changed:
            identity = self._current(transactional_id, epoch)
            log = self._log(record.partition)
            if identity.transaction is None:
                identity.transaction = OpenTransaction(started=self._clock())
            identity.transaction.partitions.add(record.partition)
            offset = log.append(record, self._now_ms(), identity.transaction)
            self._changed.notify_all()
            return Position(record.partition, offset)

    def commit(self, transactional_id: str, epoch: int) -> None:
        """Commit what is open under a transactional id."""
        with self._changed:
            self._end(self._current(transactional_id, epoch), Fate.COMMITTED)

    def _current(self, transactional_id: str, epoch: int) -> _Identity:
        self._expire()
        identity = self._identities[transactional_id]
        if identity.epoch != epoch:
            raise StaleEpoch(
                f"the epoch of {transactional_id} is over",
                expected=str(identity.epoch),
                got=str(epoch),
            )
        return identity

    def _expire(self) -> None:
        now = self._clock()
        for identity in self._identities.values():
            transaction = identity.transaction
            if transaction is not None and now - transaction.started > identity.timeout:
                self._end(identity, Fate.ABORTED)
                identity.epoch += 1

    def _end(self, identity: _Identity, fate: Fate) -> None:
        transaction, identity.transaction = identity.transaction, None
        if transaction is None:
            return
        transaction.fate = fate
        for partition in sorted(transaction.partitions):
            self._logs[partition].mark()
        self._changed.notify_all()

    def _log(self, partition: Partition) -> PartitionLog:
        try:
            return self._logs[partition]
        except KeyError:
            raise UsageRefused(
                f"no such topic or partition: {partition}",
                code="UNKNOWN_TOPIC",
                hint="run: chiron topics plan",
            ) from None

    @staticmethod
    def _now_ms() -> int:
        return int(time.time() * 1000)  # the calendar's, as producers stamp records
