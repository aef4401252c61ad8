"""Topics of a real broker: look, create, change settings, delete records."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final

from kafka import KafkaAdminClient, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, OffsetSpec
from kafka.errors import (
    CoordinatorLoadInProgressError,
    CoordinatorNotAvailableError,
    KafkaError,
    KafkaTimeoutError,
    NoError,
    NotCoordinatorError,
    SaslAuthenticationFailedError,
    TopicAlreadyExistsError,
)
from kafka.structs import OffsetAndMetadata

from chiron_stream import timeouts
from chiron_stream.broker.kafka.diagnosis import causes_of_failure
from chiron_stream.broker.kafka.failures import translate, translated, unreachable
from chiron_stream.broker.kafka.properties import RECONNECT_BACKOFF_MAX_MS, accepted_by
from chiron_stream.broker.records import Isolation, Partition, TopicState, Watermarks
from chiron_stream.errors import ChironError, UsageRefused

_UNKNOWN_TOPIC: Final = 3
"""Kafka's error code UNKNOWN_TOPIC_OR_PARTITION, which ``describe_topics`` gives by name."""

_NOT_YET: Final = (
    CoordinatorNotAvailableError,
    CoordinatorLoadInProgressError,
    NotCoordinatorError,
)
_PAUSE: Final = 0.1
"""Seconds between two questions whether a cluster has room for groups by now."""

_COMMITTED: Final = {Isolation.READ_UNCOMMITTED: 0, Isolation.READ_COMMITTED: 1}


class KafkaAdministration:
    """One admin client, shared by all threads of a process; connects when first used."""

    def __init__(self, connection: Mapping[str, Any], endpoint: str) -> None:
        self._connection = connection
        self._endpoint = endpoint
        self._lock = threading.Lock()
        self._client: Any = None

    def connect(self, seconds: float = timeouts.CONNECT) -> str:
        """Reach the cluster and return its id.

        :raises BrokerUnreachable: nobody answered within ``seconds``.
        """
        with self._lock:
            if self._client is None:
                self._client = self._dial(seconds)
        return str(self._call("asking for the cluster's id", "describe_cluster")["cluster_id"])

    def _dial(self, seconds: float) -> Any:
        settings = {
            "reconnect_backoff_max_ms": RECONNECT_BACKOFF_MAX_MS,
            "request_timeout_ms": int(timeouts.REQUEST * 1000),
            **accepted_by(KafkaAdminClient, self._connection),
            "bootstrap_timeout_ms": int(seconds * 1000),
        }
        with causes_of_failure() as causes, translated("connecting", self._endpoint):
            try:
                return KafkaAdminClient(**settings)
            except KafkaTimeoutError as error:
                raise self._unreached(seconds, causes.telling) from error

    def _unreached(self, seconds: float, cause: KafkaError | None) -> ChironError:
        if isinstance(cause, SaslAuthenticationFailedError):
            return translate(cause, "connecting", self._endpoint)
        got = "no answer" if cause is None else str(cause)
        return unreachable(self._endpoint, "connecting", seconds, got=got)

    def _call(self, doing: str, method: str, *arguments: Any, **options: Any) -> Any:
        with self._lock, translated(doing, self._endpoint):
            if self._client is None:
                self._client = self._dial(timeouts.CONNECT)
            call: Callable[..., Any] = getattr(self._client, method)
            try:
                return call(*arguments, **options)
            except KafkaTimeoutError as error:
                raise unreachable(
                    self._endpoint, doing, timeouts.REQUEST, got=str(error)
                ) from error

    def describe(self, topics: Sequence[str]) -> dict[str, TopicState]:
        """Return the state of those of ``topics`` that exist."""
        if not topics:
            return {}
        found = {
            topic["name"]: topic["partitions"]
            for topic in self._call("describing topics", "describe_topics", list(topics))
            if topic["error_code"] != _UNKNOWN_TOPIC
        }
        settings = self._settings(list(found))
        return {
            name: TopicState(
                partitions=len(partitions),
                replication_factor=len(partitions[0]["replica_nodes"]),
                settings=settings[name],
            )
            for name, partitions in found.items()
        }

    def _settings(self, topics: Sequence[str]) -> dict[str, dict[str, str]]:
        if not topics:
            return {}
        resources = [ConfigResource(ConfigResourceType.TOPIC, topic) for topic in topics]
        answer = self._call(
            "describing topic settings", "describe_configs", resources, config_filter="all"
        )
        return {
            topic: {name: entry["value"] for name, entry in answer["topic"][topic].items()}
            for topic in topics
        }

    def create(self, topic: str, state: TopicState) -> None:
        """Create a topic and wait until each partition has a leader.

        :raises UsageRefused: it exists.
        """
        wish = {
            "num_partitions": state.partitions,
            "replication_factor": state.replication_factor or -1,
            "configs": dict(state.settings),
        }
        try:
            self._call(f"creating {topic}", "create_topics", {topic: wish}, wait_for_metadata=True)
        except Exception as error:
            if isinstance(error.__cause__, TopicAlreadyExistsError):
                raise UsageRefused(
                    f"the topic {topic} exists already at {self._endpoint}", code="TOPIC_EXISTS"
                ) from error
            raise

    def configure(self, topic: str, settings: Mapping[str, str]) -> None:
        """Set these settings of an existing topic, leaving all others."""
        resource = ConfigResource(ConfigResourceType.TOPIC, topic, dict(settings))
        self._call(f"changing settings of {topic}", "alter_configs", [resource])

    def delete_records(self, partition: Partition, before: int) -> None:
        """Move the low watermark up to ``before``: what is below is gone."""
        self._call(
            f"deleting records of {partition}",
            "delete_records",
            {TopicPartition(*partition): before},
        )

    def watermarks(self, partition: Partition) -> Watermarks:
        """Return how far a partition reaches now."""
        return Watermarks(
            low=self._offset(partition, OffsetSpec.EARLIEST, Isolation.READ_UNCOMMITTED),
            stable=self.stable((partition,))[partition],
            high=self._offset(partition, OffsetSpec.LATEST, Isolation.READ_UNCOMMITTED),
        )

    def stable(self, partitions: Collection[Partition]) -> dict[Partition, int]:
        """Return last stable offsets: readers of committed records see what is below them."""
        return self._offsets(partitions, OffsetSpec.LATEST, Isolation.READ_COMMITTED)

    def _offset(self, partition: Partition, which: Any, isolation: Isolation) -> int:
        return self._offsets((partition,), which, isolation)[partition]

    def _offsets(
        self, partitions: Collection[Partition], which: Any, isolation: Isolation
    ) -> dict[Partition, int]:
        places = {partition: TopicPartition(*partition) for partition in partitions}
        answer = self._call(
            f"asking how far {', '.join(map(str, partitions))} reach",
            "list_partition_offsets",
            dict.fromkeys(places.values(), which),
            isolation_level=_COMMITTED[isolation],
        )
        return {partition: int(answer[place].offset) for partition, place in places.items()}

    def set_group_offsets(self, group: str, offsets: Mapping[Partition, int]) -> None:
        """Have a consumer group without members begin at these offsets.

        A cluster that never had a group makes room for them first: that is waited for.

        :raises ChironError: the broker does not let it.
        """
        places = {
            TopicPartition(*place): OffsetAndMetadata(offset, "", None)
            for place, offset in offsets.items()
        }
        doing = f"setting the offsets of the group {group}"
        _patient(lambda: self._set_group_offsets(doing, group, places))

    def _set_group_offsets(self, doing: str, group: str, places: Mapping[Any, Any]) -> None:
        answer = self._call(doing, "alter_group_offsets", group, places)
        for refused in answer.values():
            if refused is not NoError:
                error = refused()
                raise translate(error, doing, self._endpoint) from error

    def group_offsets(self, group: str, partitions: Collection[Partition]) -> dict[Partition, int]:
        """Return where a consumer group goes on in those partitions in which it has said so."""
        doing = f"asking for the offsets of the group {group}"
        places = {TopicPartition(*partition): partition for partition in partitions}
        asked = {group: list(places)}
        answer = _patient(lambda: self._call(doing, "list_group_offsets", asked))
        return {
            places[place]: int(found.offset)
            for place, found in answer[group].items()
            if found.offset >= 0
        }

    def topic_id(self, topic: str) -> str:
        """Return the id of a topic: another one of the same name has another."""
        (found,) = self._call("describing topics", "describe_topics", [topic])
        return str(found["topic_id"])

    def close(self) -> None:
        """Disconnect."""
        with self._lock:
            if self._client is not None:
                self._client.close()
                self._client = None


def _patient(call: Callable[[], Any]) -> Any:
    """Return what a call about a group does; a cluster that makes room for groups is waited for."""
    deadline = time.monotonic() + timeouts.CONNECT
    while True:
        try:
            return call()
        except ChironError as error:
            if not isinstance(error.__cause__, _NOT_YET) or time.monotonic() > deadline:
                raise
        time.sleep(_PAUSE)
