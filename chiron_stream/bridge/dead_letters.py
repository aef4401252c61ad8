"""Records that are no rows, into a topic of the owner's own: nobody else sees them.

A dead letter has the value and the key of its record, and says in headers where that stands and
why it is none. One that was written before a crash may be written again.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from chiron_stream.bridge.gathering import Refused
from chiron_stream.broker.kafka import KafkaBroker
from chiron_stream.broker.records import KEY_AND_HEADERS_LIMIT, VALUE_LIMIT, Outgoing, Partition
from chiron_stream.broker.seam import Closing, Delivery
from chiron_stream.errors import UsageRefused

KEY_LIMIT: Final = KEY_AND_HEADERS_LIMIT // 2
"""Bytes of a key that goes along; half of the room is for the headers."""

DETAIL_LIMIT: Final = 1_000
"""Characters of the sentence that says what was wrong."""


class DeadLetters(Closing):
    """Writes refused records to a topic of the source's cluster.

    :raises UsageRefused: there is no such topic.
    """

    def __init__(self, broker: KafkaBroker, topic: str) -> None:
        self._topic = topic
        self._partitions = partitions_of(broker, topic, "dead letters")
        self._producer = broker.producer()
        self._under_way: deque[Delivery] = deque()

    def put(self, one: Refused) -> None:
        """Write one; a value above the seam's limit stays where it is, and is named by its place.

        :raises ChironError: the broker does not take it.
        """
        sent = self._producer.send(letter(one, self._topic, self._partitions))
        self._under_way.append(sent)
        while self._under_way[0].done and len(self._under_way) > 1:
            self._under_way.popleft().result()

    def settle(self) -> None:
        """Wait until the broker has all of them.

        :raises ChironError: it does not take one.
        """
        while self._under_way:
            self._under_way.popleft().result()

    def close(self) -> None:
        """Disconnect."""
        self._producer.close()


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
