"""The seam over a real Apache Kafka, by kafka-python. The only importer of ``kafka``.

>>> from chiron_stream.broker.kafka import KafkaBroker        # doctest: +SKIP
>>> with KafkaBroker("127.0.0.1:9092") as broker:             # doctest: +SKIP
...     broker.watermarks(Partition("chiron.demo.journal", 0))
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from chiron_stream import timeouts
from chiron_stream.broker.kafka.administration import KafkaAdministration
from chiron_stream.broker.kafka.producing import KafkaProducing
from chiron_stream.broker.kafka.properties import translate
from chiron_stream.broker.kafka.reading import FETCH_WAIT, KafkaReading
from chiron_stream.broker.kafka.transactions import KafkaWriter
from chiron_stream.broker.records import (
    VALUE_LIMIT,
    Isolation,
    Outgoing,
    Partition,
    Watermarks,
    check_size,
)
from chiron_stream.broker.seam import Closing
from chiron_stream.errors import UsageRefused

__all__ = ["KafkaBroker"]


def _value_limit(_topic: str) -> int:
    return VALUE_LIMIT


class KafkaBroker(Closing):
    """A cluster; see :class:`~chiron_stream.broker.seam.Broker`.

    :param bootstrap_servers: ``host:port`` of one or more brokers, comma-separated.
    :param properties: Kafka client properties under Kafka's own names.
    :param limit_of: the largest value that a topic allows, in bytes; the catalogue knows.
    """

    def __init__(
        self,
        bootstrap_servers: str,
        properties: Mapping[str, str] | None = None,
        *,
        limit_of: Callable[[str], int] = _value_limit,
    ) -> None:
        self.endpoint = bootstrap_servers
        self._limit_of = limit_of
        servers = [server.strip() for server in bootstrap_servers.split(",")]
        self._connection: dict[str, Any] = {
            **translate(properties or {}),
            "bootstrap_servers": servers,
        }
        self._administration = KafkaAdministration(self._connection, bootstrap_servers)
        self._partitions: dict[str, int] = {}

    def connect(self, seconds: float = timeouts.CONNECT) -> str:
        """Reach the cluster and return its id.

        :raises BrokerUnreachable: nobody answered within ``seconds``.
        """
        return self._administration.connect(seconds)

    def producer(self) -> KafkaProducing:
        """Return a new plain producer."""
        self.connect()
        return KafkaProducing(self._connection, self.endpoint, self._admit)

    def transactional_writer(
        self,
        transactional_id: str,
        *,
        successor: Callable[[], bool],
        timeout: float = timeouts.TRANSACTION,
    ) -> KafkaWriter:
        """Return a transactional writer; see the seam."""
        self.connect()
        return KafkaWriter(
            self._connection,
            self.endpoint,
            self._admit,
            transactional_id,
            successor,
            timeout,
            self._administration.stable,
        )

    def reader(
        self,
        start: Mapping[Partition, int],
        *,
        isolation: Isolation = Isolation.READ_COMMITTED,
        wait: float = FETCH_WAIT,
    ) -> KafkaReading:
        """Return a reader of these partitions, each from the named offset on."""
        for partition in start:
            self._check_exists(partition)
        return KafkaReading(
            self._connection, self.endpoint, start, isolation, self.watermarks, wait
        )

    def _admit(self, record: Outgoing) -> int:
        """Return the bytes of a record, or refuse it before anything is sent."""
        self._check_exists(record.partition)
        return check_size(record, self._limit_of(record.partition.topic))

    def _check_exists(self, partition: Partition) -> None:
        """Refuse an unknown partition at once; kafka-python would wait for it to appear."""
        topic = partition.topic
        if topic not in self._partitions:
            found = self._administration.describe([topic])
            self._partitions |= {name: state.partitions for name, state in found.items()}
        count = self._partitions.get(topic, 0)
        if not 0 <= partition.number < count:
            raise UsageRefused(
                f"no such topic or partition at {self.endpoint}: {partition}",
                code="UNKNOWN_TOPIC",
                expected=f"a partition below {count}" if count else "an existing topic",
                got=str(partition),
                hint="run: chiron topics plan",
            )

    def watermarks(self, partition: Partition) -> Watermarks:
        """Return how far a partition reaches now."""
        return self._administration.watermarks(partition)

    def administration(self) -> KafkaAdministration:
        """Return the calls that look at and change topics."""
        return self._administration

    def close(self) -> None:
        """Disconnect; producers, writers and readers are closed by who asked for them."""
        self._administration.close()
