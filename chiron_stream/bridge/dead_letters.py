"""Records that are no rows, into a topic of the owner's own: nobody else sees them.

A dead letter has the value and the key of its record, and says in headers where that stands and
why it is none. One that was written before a crash may be written again.
"""

from __future__ import annotations

import time
from collections import deque
from typing import Final

from chiron_stream import timeouts
from chiron_stream.bridge.gathering import Refused
from chiron_stream.broker.kafka import KafkaBroker
from chiron_stream.broker.kafka.producing import KafkaProducing
from chiron_stream.broker.records import KEY_AND_HEADERS_LIMIT, VALUE_LIMIT, Outgoing, Partition
from chiron_stream.broker.seam import Closing, Delivery
from chiron_stream.clients.sending import AWAY
from chiron_stream.errors import UsageRefused

KEY_LIMIT: Final = KEY_AND_HEADERS_LIMIT // 2
"""Bytes of a key that goes along; half of the room is for the headers."""

DETAIL_LIMIT: Final = 1_000
"""Characters of the sentence that says what was wrong."""


class DeadLetters(Closing):
    """Writes refused records to a topic of the source's cluster.

    :param patience: seconds that the cluster may be away.
    :raises UsageRefused: there is no such topic.
    """

    def __init__(
        self, broker: KafkaBroker, topic: str, patience: float = timeouts.BROKER_AWAY
    ) -> None:
        self._broker = broker
        self._topic = topic
        self._partitions = partitions_of(broker, topic, "dead letters")
        self._producer: KafkaProducing | None = None
        self._patience = patience
        self._under_way: deque[tuple[Outgoing, Delivery | None]] = deque()

    def put(self, one: Refused) -> None:
        """Write one; a value above the seam's limit stays where it is, and is named by its place.

        :raises ChironError: the broker does not take it.
        """
        made = letter(one, self._topic, self._partitions)
        self._under_way.append((made, self._sent(made)))
        while len(self._under_way) > 1 and _is_done(self._under_way[0][1]):
            self._see_to_first()

    def settle(self) -> None:
        """Wait until the broker has all of them; one that went away is given time to come back.

        :raises ChironError: it does not take one.
        """
        while self._under_way:
            self._see_to_first()

    def _see_to_first(self) -> None:
        """Wait until the first is written; it may be there twice then."""
        deadline = time.monotonic() + self._patience
        while True:
            made, delivery = self._under_way[0]
            try:
                (delivery or self._open().send(made)).result()
            except AWAY:
                if time.monotonic() > deadline:
                    raise
                self._begin_again()
            else:
                self._under_way.popleft()
                return

    def _open(self) -> KafkaProducing:
        if self._producer is None:
            self._producer = self._broker.producer()
        return self._producer

    def _sent(self, made: Outgoing) -> Delivery | None:
        try:
            return self._open().send(made)
        except AWAY:
            return None

    def _begin_again(self) -> None:
        """Give up the producer, which waits for what it lost; all are to be sent by another."""
        self.close()
        self._under_way = deque((made, None) for made, _ in self._under_way)

    def close(self) -> None:
        """Disconnect."""
        if self._producer is not None:
            self._producer.close()
            self._producer = None


def _is_done(delivery: Delivery | None) -> bool:
    return delivery is not None and delivery.done


def letter(one: Refused, topic: str, partitions: int) -> Outgoing:
    """Return a dead letter; a value above the seam's limit stays where it is."""
    record = one.record
    headers = {
        "chiron.reason": one.reason.value,
        "chiron.detail": one.detail[:DETAIL_LIMIT],
        "chiron.topic": record.partition.topic,
        "chiron.partition": str(record.partition.number),
        "chiron.offset": str(record.offset),
    }
    place = Partition(topic, record.partition.number % partitions)
    value = record.value if len(record.value) <= VALUE_LIMIT else b""
    key = record.key if record.key is None or len(record.key) <= KEY_LIMIT else None
    packed = tuple((name, text.encode()) for name, text in headers.items())
    return Outgoing(place, value, key, packed)


def partitions_of(broker: KafkaBroker, topic: str, purpose: str) -> int:
    """Return how many partitions a topic of one's own has.

    :param purpose: what it is for, in words.
    :raises UsageRefused: there is no such topic.
    """
    found = broker.administration().describe([topic])
    if topic not in found:
        raise UsageRefused(
            f"no such topic at {broker.endpoint}: {topic}",
            code="UNKNOWN_TOPIC",
            expected=f"an existing topic of your own for {purpose}",
        )
    return found[topic].partitions
