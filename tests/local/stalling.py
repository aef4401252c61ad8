"""A worker's own connection to the cluster, which may stand still and go on."""

from __future__ import annotations

import threading
from collections.abc import Mapping

from chiron_stream.broker.memory import MemoryBroker
from chiron_stream.broker.memory.clients import MemoryDelivery, MemoryProducing, MemoryReading
from chiron_stream.broker.memory.cluster import Cluster
from chiron_stream.broker.records import Isolation, Outgoing, Partition, Record, Watermarks


class StallingBroker(MemoryBroker):
    """While it stalls nothing passes, in either direction, and nothing fails.

    As with a broker that pauses, or a machine that is suspended: what waits arrives late.
    """

    def __init__(self, cluster: Cluster) -> None:
        super().__init__(cluster)
        self.stalls = 0
        self._going = threading.Event()
        self._going.set()
        self._armed: tuple[str, float] | None = None

    def stall(self, seconds: float) -> None:
        """Stand still from now on, for so long."""
        self.stalls += 1
        self._going.clear()
        timer = threading.Timer(seconds, self._going.set)
        timer.daemon = True
        timer.start()

    def stall_before(self, topic: str, seconds: float) -> None:
        """Stand still for so long when a record for a topic is next on its way."""
        self._armed = topic, seconds

    def go_on(self) -> None:
        self._armed = None
        self._going.set()

    def passing(self, topic: str = "") -> None:
        """Wait until something may pass."""
        armed = self._armed
        if armed is not None and topic == armed[0]:
            self._armed = None
            self.stall(armed[1])
        self._going.wait()

    def producer(self) -> MemoryProducing:
        return _Producing(self)

    def reader(
        self,
        start: Mapping[Partition, int],
        *,
        isolation: Isolation = Isolation.READ_COMMITTED,
        wait: float = 0.0,  # noqa: ARG002  (the seam's)
    ) -> MemoryReading:
        return _Reading(self, start, isolation)

    def watermarks(self, partition: Partition) -> Watermarks:
        self.passing()
        return super().watermarks(partition)


class _Producing(MemoryProducing):
    def __init__(self, broker: StallingBroker) -> None:
        super().__init__(broker.cluster, lambda _topic: 1_000_000)
        self._broker = broker

    def send(self, record: Outgoing) -> MemoryDelivery:
        self._broker.passing(record.partition.topic.rpartition(".")[2])
        return super().send(record)


class _Reading(MemoryReading):
    def __init__(
        self, broker: StallingBroker, start: Mapping[Partition, int], isolation: Isolation
    ) -> None:
        super().__init__(broker.cluster, start, isolation)
        self._broker = broker

    def poll(self, timeout: float, limit: int = 500) -> list[Record]:
        found = super().poll(timeout, limit)
        self._broker.passing()
        return found
