"""Producers, writers and readers over an in-memory cluster."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import NoReturn

from chiron_stream.broker.memory.cluster import Cluster
from chiron_stream.broker.ranges import refuse_out_of_range
from chiron_stream.broker.records import (
    Isolation,
    Outgoing,
    Partition,
    Position,
    Record,
    check_size,
)
from chiron_stream.broker.seam import Closing
from chiron_stream.broker.writing import WriterState
from chiron_stream.errors import ChironError, PolicyRefused


class _Closing(Closing):
    """A context manager whose end closes."""

    def close(self) -> None:
        """Release nothing: there are no connections."""


class MemoryDelivery:
    """An acknowledgement that is there at once."""

    def __init__(self, position: Position) -> None:
        self._position = position

    @property
    def done(self) -> bool:
        """Whether the outcome is known."""
        return True

    def result(self, timeout: float | None = None) -> Position:  # noqa: ARG002  (the seam's)
        """Return the position."""
        return self._position


class MemoryProducing(_Closing):
    """A plain producer; see :class:`~chiron_stream.broker.seam.Producer`."""

    def __init__(self, cluster: Cluster, limit_of: Callable[[str], int]) -> None:
        self._cluster = cluster
        self._limit_of = limit_of

    def send(self, record: Outgoing) -> MemoryDelivery:
        """Append one record; see the seam."""
        check_size(record, self._limit_of(record.partition.topic))
        return MemoryDelivery(self._cluster.append(record))

    def flush(self, timeout: float | None = None) -> None:
        """Do nothing: every record has its outcome."""


class MemoryTransaction:
    """One open transaction; see :class:`~chiron_stream.broker.seam.Transaction`."""

    def __init__(self, writer: MemoryWriter) -> None:
        self._writer = writer
        self._positions: list[Position] = []

    def send(self, record: Outgoing) -> None:
        """Add a record; see the seam."""
        self._positions.append(self._writer.send_in_transaction(record))

    def flush(self) -> list[Position]:
        """Return the positions so far; see the seam."""
        return list(self._positions)

    def commit(self) -> list[Position]:
        """Commit; see the seam."""
        self._writer.commit_transaction()
        return self._positions


class MemoryWriter(_Closing):
    """A transactional writer; see :class:`~chiron_stream.broker.seam.TransactionalWriter`."""

    def __init__(
        self,
        cluster: Cluster,
        limit_of: Callable[[str], int],
        transactional_id: str,
        successor: Callable[[], bool],
        timeout: float,
    ) -> None:
        self._cluster = cluster
        self._limit_of = limit_of
        self._id = transactional_id
        self._timeout = timeout
        self._state = WriterState(transactional_id, successor)
        self._epoch = -1

    def start(self) -> None:
        """Fence earlier writers and settle what they left open; see the seam."""
        self._state.starting()
        self._epoch = self._cluster.start_writer(self._id, self._timeout)
        self._state.started()

    def begin(self) -> MemoryTransaction:
        """Open the next transaction; see the seam."""
        self._state.beginning()
        return MemoryTransaction(self)

    def send_plain(
        self, records: Sequence[Outgoing], sent: Callable[[], None] = lambda: None
    ) -> list[Position]:
        """Append outside any transaction; see the seam."""
        self._state.check_usable()
        try:
            for record in records:
                check_size(record, self._limit_of(record.partition.topic))
            positions = [self._cluster.append(record) for record in records]
        except PolicyRefused:
            raise
        except ChironError as error:
            self._finish(error)
        sent()
        return positions

    def send_in_transaction(self, record: Outgoing) -> Position:
        """Append one record to the open transaction."""
        self._state.check_open()
        check_size(record, self._limit_of(record.partition.topic))
        try:
            return self._cluster.append_in_transaction(self._id, self._epoch, record)
        except ChironError as error:
            self._finish(error)

    def commit_transaction(self) -> None:
        """Commit; on any error the writer is finished."""
        self._state.check_open()
        try:
            self._cluster.commit(self._id, self._epoch)
        except ChironError as error:
            self._finish(error)
        self._state.committed()

    def _finish(self, error: ChironError) -> NoReturn:
        self._state.finish(error)

    def close(self) -> None:
        """End this writer; what is open stays open until it expires or a successor starts."""
        self._state.closed()


class MemoryReading(_Closing):
    """A reader of assigned partitions; see :class:`~chiron_stream.broker.seam.Reader`."""

    def __init__(
        self, cluster: Cluster, start: Mapping[Partition, int], isolation: Isolation
    ) -> None:
        self._cluster = cluster
        self._isolation = isolation
        self._positions = dict(start)

    def poll(self, timeout: float, limit: int = 500) -> list[Record]:
        """Return the next records; see the seam."""
        deadline = time.monotonic() + timeout
        while not (found := self._read(limit)):
            left = deadline - time.monotonic()
            if left <= 0:
                return []
            # Bounded, because an expiring transaction wakes nobody.
            self._cluster.wait(min(left, 0.05))
        return found

    def _read(self, limit: int) -> list[Record]:
        found: list[Record] = []
        for partition, offset in self._positions.items():
            refuse_out_of_range(partition, offset, self._cluster.watermarks(partition))
            records, after = self._cluster.read(
                partition, offset, limit - len(found), self._isolation
            )
            self._positions[partition] = after
            found += records
        return found

    def position(self, partition: Partition) -> int:
        """Return the next offset."""
        return self._positions[partition]

    def seek(self, partition: Partition, offset: int) -> None:
        """Read on at ``offset``."""
        self._positions[partition] = offset
