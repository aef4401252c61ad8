"""Appending records outside transactions, with a bound on the bytes under way."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final

from kafka import KafkaProducer
from kafka.errors import KafkaError, KafkaTimeoutError

from chiron_stream import timeouts
from chiron_stream.broker.kafka.failures import translate, translated
from chiron_stream.broker.kafka.properties import RECONNECT_BACKOFF_MAX_MS, accepted_by
from chiron_stream.broker.records import Outgoing, Partition, Position
from chiron_stream.broker.seam import Closing
from chiron_stream.errors import ChironError, Timeout

WINDOW_BYTES: Final = 32 * 1024 * 1024
"""Bytes handed over and not yet acknowledged, at most.

kafka-python 3 has no ``buffer.memory``: without a bound of our own a fast sender fills the memory
of its process when the broker is slow.
"""

BATCH_BYTES: Final = 256 * 1024
"""Kafka's ``batch.size``: small records travel together; a larger one travels alone."""

COMMON: Final[Mapping[str, Any]] = {
    "acks": "all",
    "allow_auto_create_topics": False,
    "batch_size": BATCH_BYTES,
    "bootstrap_timeout_ms": int(timeouts.CONNECT * 1000),
    "delivery_timeout_ms": int(timeouts.DELIVERY * 1000),
    "enable_idempotence": True,
    "linger_ms": 0,
    "max_block_ms": int(timeouts.DELIVERY * 1000),
    "metrics_enabled": False,
    "reconnect_backoff_max_ms": RECONNECT_BACKOFF_MAX_MS,
    "request_timeout_ms": int(timeouts.REQUEST * 1000),
}
"""What every producer of this project is made with."""


def producer_settings(connection: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keyword arguments of a producer for this connection."""
    return {**COMMON, **accepted_by(KafkaProducer, connection)}


class KafkaDelivery:
    """The acknowledgement of one record: a view of kafka-python's future."""

    __slots__ = ("_endpoint", "_future", "_partition")

    def __init__(self, future: Any, partition: Partition, endpoint: str) -> None:
        self._future = future
        self._partition = partition
        self._endpoint = endpoint

    @property
    def done(self) -> bool:
        """Whether the outcome is known."""
        return bool(self._future.is_done)

    def result(self, timeout: float | None = None) -> Position:
        """Wait for the acknowledgement; see :class:`~chiron_stream.broker.seam.Delivery`."""
        seconds = timeouts.DELIVERY + timeouts.REQUEST if timeout is None else timeout
        try:
            answer = self._future.get(timeout=seconds)
        except KafkaError as error:
            raise translate(error, f"producing to {self._partition}", self._endpoint) from error
        return Position(self._partition, answer.offset)


class Window:
    """A bound on the bytes under way: whoever would exceed it waits for the oldest record.

    Outcomes are only looked at when the window is full, so that a record costs one addition.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._used = 0
        self._under_way: deque[tuple[Any, int]] = deque()
        self._lock = threading.Lock()

    def take(self, size: int, timeout: float) -> None:
        """Wait for room (an oversized record waits for an empty window) and take it.

        :raises Timeout: there was none within ``timeout`` seconds.
        """
        with self._lock:
            if self._used + size > self._limit:
                self._make_room(size, time.monotonic() + timeout)
            self._used += size

    def _make_room(self, size: int, deadline: float) -> None:
        while self._under_way and self._used + size > self._limit:
            future, oldest = self._under_way[0]
            if not future.is_done:
                with suppress(KafkaError):  # what became of it is for its own delivery to say
                    future.get(timeout=max(0.0, deadline - time.monotonic()))
            if not future.is_done:
                raise Timeout(
                    "the broker does not keep up; the record was not sent",
                    expected=f"fewer than {self._limit} unacknowledged bytes in time",
                    got=f"{self._used} bytes",
                )
            self._under_way.popleft()
            self._used -= oldest

    def track(self, future: Any, size: int) -> None:
        """Note what the room was taken for."""
        self._under_way.append((future, size))

    def give_back(self, size: int) -> None:
        """Return room that was taken for nothing."""
        with self._lock:
            self._used -= size


class KafkaProducing(Closing):
    """A plain, idempotent producer; see :class:`~chiron_stream.broker.seam.Producer`."""

    def __init__(
        self,
        connection: Mapping[str, Any],
        endpoint: str,
        admit: Callable[[Outgoing], int],
        window_bytes: int = WINDOW_BYTES,
    ) -> None:
        self._endpoint = endpoint
        self._admit = admit
        self._window = Window(window_bytes)
        self._closed = False
        with translated("starting a producer", endpoint):
            self._producer = KafkaProducer(**producer_settings(connection))

    def send(self, record: Outgoing) -> KafkaDelivery:
        """Hand over one record; see :class:`~chiron_stream.broker.seam.Producer`."""
        size = self._admit(record)
        self._window.take(size, timeouts.DELIVERY)
        try:
            future = hand_over(self._producer, record, self._endpoint)
        except ChironError:
            self._window.give_back(size)
            raise
        self._window.track(future, size)
        return KafkaDelivery(future, record.partition, self._endpoint)

    def flush(self, timeout: float | None = None) -> None:
        """Wait until every record handed over has an outcome."""
        seconds = timeouts.DELIVERY + timeouts.REQUEST if timeout is None else timeout
        with translated("flushing a producer", self._endpoint):
            self._producer.flush(timeout=seconds)

    def close(self) -> None:
        """Flush what is under way, for at most the delivery time-out, and disconnect."""
        if not self._closed:
            self._closed = True
            close_quietly(self._producer, timeouts.DELIVERY)


def hand_over(producer: Any, record: Outgoing, endpoint: str) -> Any:
    """Give a record to kafka-python and return its future."""
    topic, number = record.partition
    try:
        return producer.send(
            topic,
            value=record.value,
            key=record.key,
            headers=list(record.headers),
            partition=number,
        )
    except KafkaError as error:
        raise translate(error, f"producing to {record.partition}", endpoint) from error


def close_quietly(producer: Any, seconds: float) -> None:
    """Close a kafka-python producer, giving records under way ``seconds`` to be acknowledged.

    A record that is not acknowledged by then is no news: its own delivery says so. The producer's
    thread is a daemon, so that nothing waits for it when the process ends.
    """
    with suppress(KafkaTimeoutError):
        producer.close(timeout=seconds)
