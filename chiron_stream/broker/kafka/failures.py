"""What kafka-python raises, in this project's words.

Nothing here decides whether a transaction committed: an error of a producer is never proof that a
record is absent.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from kafka import errors as kafka_errors

from chiron_stream.errors import (
    BrokerUnreachable,
    ChironError,
    ConfigurationRefused,
    NotAuthorized,
    PolicyRefused,
    Timeout,
    UsageRefused,
)

_REFUSED_CREDENTIALS: Final = (
    kafka_errors.AuthorizationError,
    kafka_errors.SaslAuthenticationFailedError,
    kafka_errors.UnsupportedSaslMechanismError,
    kafka_errors.IllegalSaslStateError,
)
_TOO_LARGE: Final = (
    kafka_errors.MessageSizeTooLargeError,
    kafka_errors.RecordListTooLargeError,
)
_LATE: Final = (kafka_errors.KafkaTimeoutError, kafka_errors.RequestTimedOutError)
_UNREACHED: Final = (
    kafka_errors.KafkaConnectionError,
    kafka_errors.NodeNotReadyError,
    kafka_errors.MetadataEmptyBrokerList,
    kafka_errors.UnrecognizedBrokerVersion,
)
_UNKNOWN_TOPIC: Final = (
    kafka_errors.UnknownTopicOrPartitionError,
    kafka_errors.InvalidTopicError,
)


def translate(error: Exception, doing: str, endpoint: str) -> ChironError:
    """Return the error to raise for what kafka-python raised while ``doing`` something.

    :param doing: a phrase that continues "while", naming topic and partition.
    :param endpoint: the bootstrap servers, for the reader of the message.
    """
    name = type(error).__name__
    where = f"while {doing} at {endpoint}"
    if isinstance(error, _REFUSED_CREDENTIALS):
        return NotAuthorized(
            f"the broker refused {where}",
            got=name,
            hint="check security.protocol, sasl.* and ssl.* in the [kafka] section, and the ACLs",
        )
    if isinstance(error, _TOO_LARGE):
        return PolicyRefused(
            f"the broker refused a record as too large {where}", code="RECORD_TOO_LARGE", got=name
        )
    if isinstance(error, _UNKNOWN_TOPIC):
        return UsageRefused(
            f"no such topic or partition {where}",
            code="UNKNOWN_TOPIC",
            hint="run: chiron topics plan",
        )
    if isinstance(error, _UNREACHED):
        return unreachable(endpoint, doing)
    if isinstance(error, _LATE):
        return Timeout(f"no answer in time {where}; the outcome is unknown", got=name)
    if isinstance(error, kafka_errors.KafkaConfigurationError):
        return ConfigurationRefused(
            f"kafka-python refuses its settings {where}", code="KAFKA_PROPERTY", got=str(error)
        )
    return ChironError(f"the broker answered {name} {where}", code="BROKER_ERROR", got=name)


def unreachable(
    endpoint: str, doing: str, seconds: float | None = None, *, got: str = "no answer"
) -> BrokerUnreachable:
    """Return the error that names the endpoint nobody answered at."""
    within = "" if seconds is None else f" within {seconds:g} s"
    return BrokerUnreachable(
        f"no Kafka broker answered at {endpoint}{within} while {doing}",
        expected="a broker speaking Kafka 3.9 or later with this security.protocol and these "
        "credentials",
        got=got,
        hint="check bootstrap_servers with: chiron config; a local broker: chiron up --broker-only",
    )


@contextmanager
def translated(doing: str, endpoint: str) -> Iterator[None]:
    """Run a block; what kafka-python raises in it leaves as one of this project's errors."""
    try:
        yield
    except kafka_errors.KafkaError as error:
        raise translate(error, doing, endpoint) from error
