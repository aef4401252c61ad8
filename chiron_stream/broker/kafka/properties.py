"""Kafka's own property names, as users have them in a ``client.properties``, for kafka-python.

A user's configuration holds the names of Apache Kafka's documentation (``security.protocol``,
``ssl.truststore.location``, ``sasl.jaas.config``). This page turns them into the words that
kafka-python wants, refuses what the seam decides by itself, and never shows a secret.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from chiron_stream.errors import ConfigurationRefused
from chiron_stream.settings import SECRET_PROPERTIES

RECONNECT_BACKOFF_MAX_MS: Final = 1000
"""Kafka's ``reconnect.backoff.max.ms`` unless the user sets it, in milliseconds.

kafka-python's default of 30 s is twice as long as a delivery may take: a broker that was away for
five seconds would not be found again in time.
"""

DECIDED: Final = {
    "acks": "all",
    "allow.auto.create.topics": "false",
    "auto.offset.reset": "none",
    "bootstrap.servers": "the bootstrap_servers setting",
    "enable.auto.commit": "false",
    "enable.idempotence": "true",
    "group.id": "no group",
    "isolation.level": "chosen per reader",
    "transactional.id": "chosen per writer",
}
"""What the seam's promises rest on, so that nobody sets it."""

_JAAS = re.compile(
    r"\s*org\.apache\.kafka\.common\.security\.(plain\.Plain|scram\.Scram)LoginModule\s+required"
    r"(?P<options>(\s+\w+=\"(?:[^\"\\]|\\.)*\")*)\s*;\s*"
)
_JAAS_OPTION = re.compile(r"(\w+)=\"((?:[^\"\\]|\\.)*)\"")


def translate(properties: Mapping[str, str]) -> dict[str, Any]:
    """Return the keyword arguments of kafka-python's clients for these properties.

    :raises ConfigurationRefused: a name that is unknown, or decided by the seam, or a value that
        does not read. The message names the property, and no secret.
    """
    arguments: dict[str, Any] = {}
    for name, value in properties.items():
        arguments |= _translate_one(name, value)
    return arguments


def accepted_by(client: Any, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return those arguments that this kind of kafka-python client knows.

    A user's properties serve producers, consumers and admin clients alike; ``client.rack``, for
    one, means something to consumers only.
    """
    return {name: value for name, value in arguments.items() if name in client.DEFAULT_CONFIG}


def _translate_one(name: str, value: str) -> dict[str, Any]:
    if name in DECIDED:
        raise ConfigurationRefused(
            f"the Kafka property {name} cannot be set",
            code="KAFKA_PROPERTY",
            expected=f"{DECIDED[name]} (decided by chiron-stream)",
            hint=f"remove {name} from the [kafka] section",
        )
    if name not in _KNOWN:
        raise ConfigurationRefused(
            f"the Kafka property {name} is not known here",
            code="KAFKA_PROPERTY",
            expected=f"one of {', '.join(sorted(_KNOWN))}",
            got=name,
            hint="see docs/operating.md, section Brokers",
        )
    return _KNOWN[name](name, value)


def _as(argument: str, convert: Callable[[str], Any] = str) -> Callable[[str, str], dict[str, Any]]:
    def convert_one(name: str, value: str) -> dict[str, Any]:
        try:
            return {argument: convert(value)}
        except ValueError:
            raise _unreadable(name, convert.__name__.strip("_"), value) from None

    return convert_one


def _pem(name: str, value: str) -> dict[str, Any]:
    if value.upper() != "PEM":
        raise _unreadable(name, "PEM (Java key stores cannot be read here)", value)
    return {}


def _key_store(_name: str, value: str) -> dict[str, Any]:
    """One PEM file with the private key and the certificate chain, as Kafka has it."""
    return {"ssl_certfile": value, "ssl_keyfile": value}


def _host_names(name: str, value: str) -> dict[str, Any]:
    if value not in ("https", ""):
        raise _unreadable(name, "https, or empty to accept any name", value)
    return {"ssl_check_hostname": value == "https"}


def _jaas(name: str, value: str) -> dict[str, Any]:
    match = _JAAS.fullmatch(value)
    options = dict(_JAAS_OPTION.findall(match["options"])) if match else {}
    if set(options) != {"username", "password"}:
        raise ConfigurationRefused(
            f"the Kafka property {name} does not read",
            code="KAFKA_PROPERTY",
            expected="org.apache.kafka.common.security.plain.PlainLoginModule (or "
            'scram.ScramLoginModule) required username="..." password="...";',
            got="something else (not shown: it may hold a password)",
        )
    plain = {option: re.sub(r"\\(.)", r"\1", text) for option, text in options.items()}
    return {
        "sasl_plain_username": plain["username"],
        "sasl_plain_password": plain["password"],
    }


def _unreadable(name: str, expected: str, got: str) -> ConfigurationRefused:
    return ConfigurationRefused(
        f"the Kafka property {name} does not read",
        code="KAFKA_PROPERTY",
        expected=expected,
        got="(not shown)" if name in SECRET_PROPERTIES else repr(got),
    )


_KNOWN: Final[dict[str, Callable[[str, str], dict[str, Any]]]] = {
    "client.id": _as("client_id"),
    "client.rack": _as("client_rack"),
    "connections.max.idle.ms": _as("connections_max_idle_ms", int),
    "metadata.max.age.ms": _as("metadata_max_age_ms", int),
    "receive.buffer.bytes": _as("receive_buffer_bytes", int),
    "reconnect.backoff.max.ms": _as("reconnect_backoff_max_ms", int),
    "reconnect.backoff.ms": _as("reconnect_backoff_ms", int),
    "sasl.jaas.config": _jaas,
    "sasl.kerberos.service.name": _as("sasl_kerberos_service_name"),
    "sasl.mechanism": _as("sasl_mechanism"),
    "security.protocol": _as("security_protocol"),
    "send.buffer.bytes": _as("send_buffer_bytes", int),
    "ssl.cipher.suites": _as("ssl_ciphers"),
    "ssl.endpoint.identification.algorithm": _host_names,
    "ssl.key.password": _as("ssl_password"),
    "ssl.keystore.location": _key_store,
    "ssl.keystore.type": _pem,
    "ssl.truststore.location": _as("ssl_cafile"),
    "ssl.truststore.type": _pem,
}
