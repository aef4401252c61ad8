"""The seam over logs in this process: no Java, no Kafka, milliseconds.

For tests, ours and users', and for whole jobs in one process. It behaves as the real one does,
markers, gaps, fencing and expiry included: the same test cases run against both.

>>> from chiron_stream.broker.memory import MemoryBroker
>>> from chiron_stream.broker.records import Outgoing, Partition, TopicState
>>> broker = MemoryBroker()
>>> broker.administration().create("shards", TopicState(partitions=1))
>>> shards = Partition("shards", 0)
>>> broker.producer().send(Outgoing(shards, b"sealed")).result().offset
0
>>> [record.value for record in broker.reader({shards: 0}).poll(timeout=1)]
[b'sealed']
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from chiron_stream import timeouts
from chiron_stream.broker.memory.clients import MemoryProducing, MemoryReading, MemoryWriter
from chiron_stream.broker.memory.cluster import Cluster
from chiron_stream.broker.records import VALUE_LIMIT, Isolation, Partition, Watermarks
from chiron_stream.broker.seam import Closing

__all__ = ["MemoryBroker"]


def _value_limit(_topic: str) -> int:
    return VALUE_LIMIT


class MemoryBroker(Closing):
    """An in-memory cluster; see :class:`~chiron_stream.broker.seam.Broker`.

    :param cluster: share one to have several clients of the same logs.
    :param limit_of: the largest value that a topic allows, in bytes; the catalogue knows.
    """

    def __init__(
        self,
        cluster: Cluster | None = None,
        *,
        limit_of: Callable[[str], int] = _value_limit,
    ) -> None:
        self.cluster = cluster or Cluster()
        self._limit_of = limit_of

    def producer(self) -> MemoryProducing:
        """Return a new plain producer."""
        return MemoryProducing(self.cluster, self._limit_of)

    def transactional_writer(
        self,
        transactional_id: str,
        *,
        successor: Callable[[], bool],
        timeout: float = timeouts.TRANSACTION,
    ) -> MemoryWriter:
        """Return a transactional writer; see the seam."""
        return MemoryWriter(self.cluster, self._limit_of, transactional_id, successor, timeout)

    def reader(
        self,
        start: Mapping[Partition, int],
        *,
        isolation: Isolation = Isolation.READ_COMMITTED,
        wait: float = 0.0,  # noqa: ARG002  (nothing here holds an answer back)
    ) -> MemoryReading:
        """Return a reader of these partitions, each from the named offset on."""
        return MemoryReading(self.cluster, start, isolation)

    def watermarks(self, partition: Partition) -> Watermarks:
        """Return how far a partition reaches now."""
        return self.cluster.watermarks(partition)

    def administration(self) -> Cluster:
        """Return the calls that look at and change topics."""
        return self.cluster

    def close(self) -> None:
        """Keep everything: the cluster belongs to whoever made it."""
