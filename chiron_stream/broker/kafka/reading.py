"""Reading assigned partitions in order, telling a withheld record from a shortened log."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import (
    CorruptRecordError,
    LogTruncationError,
    OffsetOutOfRangeError,
    UnsupportedCodecError,
)

from chiron_stream import timeouts
from chiron_stream.broker.kafka.failures import translated
from chiron_stream.broker.kafka.properties import RECONNECT_BACKOFF_MAX_MS, accepted_by
from chiron_stream.broker.ranges import refuse_out_of_range, truncated
from chiron_stream.broker.records import Isolation, Partition, Record, Watermarks
from chiron_stream.broker.seam import Closing

FETCH_BYTES: Final = 4 * 1024 * 1024
"""Kafka's ``max.partition.fetch.bytes``: a few of the largest records in one answer."""

UNDECODABLE: Final = (CorruptRecordError, UnsupportedCodecError, UnicodeDecodeError)
"""What kafka-python raises for records that it cannot decode: a bad checksum or length, a codec
whose library is not here, a header's name that is not UTF-8."""

_PROBE_MS: Final = 500

FETCH_WAIT: Final = 0.25
"""Kafka's ``fetch.max.wait.ms``, in seconds."""

IDLE_MS: Final = 5
"""Kafka's ``retry.backoff.ms``: kafka-python also sleeps so long whenever a poll finds nothing
under way, as at every start; its default of 100 makes each new reader that much slower."""

COMMON: Final[Mapping[str, Any]] = {
    "allow_auto_create_topics": False,
    "auto_offset_reset": "none",
    "bootstrap_timeout_ms": int(timeouts.CONNECT * 1000),
    "enable_auto_commit": False,
    "group_id": None,
    "max_partition_fetch_bytes": FETCH_BYTES,
    "metrics_enabled": False,
    "reconnect_backoff_max_ms": RECONNECT_BACKOFF_MAX_MS,
    "request_timeout_ms": int(timeouts.REQUEST * 1000),
    "retry_backoff_ms": IDLE_MS,
}
"""What every consumer of this project is made with."""


class KafkaReading(Closing):
    """A consumer of assigned partitions; see :class:`~chiron_stream.broker.seam.Reader`."""

    def __init__(
        self,
        connection: Mapping[str, Any],
        endpoint: str,
        start: Mapping[Partition, int],
        isolation: Isolation,
        watermarks: Callable[[Partition], Watermarks],
        wait: float = FETCH_WAIT,
    ) -> None:
        self._endpoint = endpoint
        self._watermarks = watermarks
        self._names = {TopicPartition(*partition): partition for partition in start}
        self._settings = {
            **COMMON,
            **accepted_by(KafkaConsumer, connection),
            "isolation_level": isolation.value,
            "fetch_max_wait_ms": int(wait * 1000),
        }
        with translated("starting a reader", endpoint):
            self._consumer = self._new_consumer()
            self._consumer.assign(list(self._names))
        for partition, offset in start.items():
            self.seek(partition, offset)

    def _new_consumer(self) -> Any:
        consumer = KafkaConsumer(**self._settings)
        # Its metadata does not get retry.backoff.ms from kafka-python 3.0.12: the first look for a
        # partition's leader, right after the bootstrap, would wait the default of 100.
        consumer._cluster.config["retry_backoff_ms"] = IDLE_MS
        return consumer

    def poll(self, timeout: float, limit: int = 500) -> list[Record]:
        """Return the next records; see :class:`~chiron_stream.broker.seam.Reader`."""
        with translated(f"reading {self._what}", self._endpoint):
            try:
                fetched = self._consumer.poll(timeout_ms=int(timeout * 1000), max_records=limit)
            except UNDECODABLE:
                return self._past_undecodable()
            except OffsetOutOfRangeError as error:
                self._refuse(error)
                return []
            except LogTruncationError as error:
                name = next(iter(self._names.values()))
                raise truncated(name, self.position(name)) from error
        return self._records(fetched)

    def _records(self, fetched: Mapping[Any, Any]) -> list[Record]:
        names = self._names
        return [
            Record(
                names[place],
                message.offset,
                message.value or b"",
                message.key,
                tuple(message.headers),
                message.timestamp,
            )
            for place, messages in fetched.items()
            for message in messages
        ]

    def _past_undecodable(self) -> list[Record]:
        """Find the partition whose next record does not decode, and step over that one record.

        Anybody who may write can write such a record: it must stop no reader. It is shown with an
        empty value, which is no document of anything, so that whoever reads rejects it by its
        place.
        """
        for place, name in self._names.items():
            offset = self._consumer.position(place)
            if not self._decodes(place, offset):
                self._consumer.seek(place, offset + 1)
                return [Record(name, offset, b"", None, (), 0)]
        return []

    def _decodes(self, place: TopicPartition, offset: int) -> bool:
        """Tell whether the record at an offset decodes, by a consumer that sees nothing else.

        Pausing the other partitions would do, but a paused partition with fetched records sends
        kafka-python 3.0.12 into an endless loop.
        """
        probe = self._new_consumer()
        try:
            probe.assign([place])
            probe.seek(place, offset)
            probe.poll(timeout_ms=_PROBE_MS, max_records=1)
        except UNDECODABLE:
            return False
        finally:
            probe.close(autocommit=False, timeout_ms=1000)
        return True

    def _refuse(self, error: OffsetOutOfRangeError) -> None:
        """Raise what the watermarks say; return if they say that the offset is good by now."""
        for place, offset in error.args[0].items():
            partition = self._names[place]
            refuse_out_of_range(partition, offset, self._watermarks(partition))

    @property
    def _what(self) -> str:
        return ", ".join(str(partition) for partition in self._names.values())

    def position(self, partition: Partition) -> int:
        """Return the next offset; see :class:`~chiron_stream.broker.seam.Reader`."""
        with translated(f"reading {partition}", self._endpoint):
            return int(self._consumer.position(TopicPartition(*partition)))

    def seek(self, partition: Partition, offset: int) -> None:
        """Read on at ``offset``."""
        self._consumer.seek(TopicPartition(*partition), offset)

    def close(self) -> None:
        """Disconnect."""
        self._consumer.close(autocommit=False, timeout_ms=1000)
