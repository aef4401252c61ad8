"""Brokers that do not take a record, and say so."""

from __future__ import annotations

from collections.abc import Callable

from chiron_stream.broker.memory import MemoryBroker
from chiron_stream.broker.memory.clients import MemoryDelivery, MemoryProducing
from chiron_stream.broker.records import Outgoing, Position
from chiron_stream.errors import Timeout


class _Lost(MemoryDelivery):
    """The outcome of a record that the broker never acknowledged.

    :param meanwhile: what happens until that is known.
    """

    def __init__(self, position: Position, meanwhile: Callable[[], object]) -> None:
        super().__init__(position)
        self._meanwhile = meanwhile

    def result(self, timeout: float | None = None) -> Position:  # noqa: ARG002  (the seam's)
        self._meanwhile()
        raise Timeout("not acknowledged")


class LosingBroker(MemoryBroker):
    """A broker that loses one record of ``control``: the so-and-so-many-th.

    :param for_ever: it takes none from there on.
    """

    def __init__(self, lost: int, *, for_ever: bool = False) -> None:
        super().__init__()
        self._which = lost
        self._seen = 0
        self.lost = 0
        self.for_ever = for_ever
        self.meanwhile: Callable[[], object] = lambda: None

    def loses(self, record: Outgoing) -> bool:
        """Tell whether this is the one."""
        if not record.partition.topic.endswith(".control"):
            return False
        self._seen += 1
        behind = self.for_ever and self._seen > self._which
        found = self._seen == self._which or behind
        self.lost += found
        return found

    def producer(self) -> MemoryProducing:
        return _LosingProducing(self)


class _LosingProducing(MemoryProducing):
    def __init__(self, broker: LosingBroker) -> None:
        super().__init__(broker.cluster, lambda _topic: 1_000_000)
        self._broker = broker

    def send(self, record: Outgoing) -> MemoryDelivery:
        if self._broker.loses(record):
            return _Lost(Position(record.partition, 0), self._broker.meanwhile)
        return super().send(record)
