"""A broker that does to records what it likes while they are appended."""

from __future__ import annotations

from collections.abc import Callable

from chiron_stream.broker.memory import MemoryBroker
from chiron_stream.broker.memory.clients import MemoryDelivery, MemoryProducing
from chiron_stream.broker.records import Outgoing, Position
from chiron_stream.wire.document import kind_of

Lie = Callable[[str, bytes], list[bytes]]
"""From topic and value to the values that are appended in its place."""


class LyingBroker(MemoryBroker):
    """Acknowledges every record and stores what ``lie`` makes of it.

    ``lie`` is called with the catalogue's name of the topic.
    """

    def __init__(self, lie: Lie) -> None:
        super().__init__()
        self.lie = lie

    def producer(self) -> MemoryProducing:
        return _LyingProducing(self)


class _LyingProducing(MemoryProducing):
    def __init__(self, broker: LyingBroker) -> None:
        super().__init__(broker.cluster, lambda _topic: 1_000_000)
        self._broker = broker

    def send(self, record: Outgoing) -> MemoryDelivery:
        topic = record.partition.topic.rpartition(".")[2]
        made = [record._replace(value=one) for one in self._broker.lie(topic, record.value)]
        offsets = [super(_LyingProducing, self).send(one).result().offset for one in made]
        end = self._broker.watermarks(record.partition).high
        return MemoryDelivery(Position(record.partition, offsets[0] if offsets else end))


class Once:
    """A lie about the first records of a topic, perhaps of one kind; the rest is as it is."""

    def __init__(
        self,
        topic: str,
        change: Callable[[bytes], list[bytes]],
        *,
        times: int = 1,
        only: int | None = None,
    ) -> None:
        self.topic = topic
        self.left = times
        self._change = change
        self._only = only

    def __call__(self, topic: str, value: bytes) -> list[bytes]:
        if topic != self.topic or not self.left:
            return [value]
        if self._only is not None and kind_of(value) != self._only:
            return [value]
        self.left -= 1
        return self._change(value)


def flipped(place: int) -> Callable[[bytes], list[bytes]]:
    """Flip one bit of the byte at a place."""

    def change(value: bytes) -> list[bytes]:
        made = bytearray(value)
        made[place] ^= 1
        return [bytes(made)]

    return change


def withheld(_value: bytes) -> list[bytes]:
    return []


def doubled(value: bytes) -> list[bytes]:
    return [value] * 3
