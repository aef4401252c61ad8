"""How a Faust application reaches Kafka: the same property names as everywhere else."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Any

from chiron_stream.broker.kafka.properties import translate
from chiron_stream.errors import ConfigurationRefused


def faust_connection(servers: str, properties: Mapping[str, str]) -> dict[str, Any]:
    """Return the arguments of ``faust.App`` that say where the brokers are and who we are.

    :param servers: ``host:port``, separated by commas.
    :param properties: Kafka's own names, as in the section ``[kafka]`` of a configuration file.
    :raises ConfigurationRefused: a property that does not read, or that Faust has no word for.
    """
    arguments = translate(properties)
    return {
        "broker": ";".join(f"kafka://{one.strip()}" for one in servers.split(",")),
        "broker_credentials": _credentials(arguments),
    }


def _credentials(arguments: Mapping[str, Any]) -> Any:
    import faust

    protocol = arguments.get("security_protocol", "PLAINTEXT").upper()
    context = _context(arguments) if protocol.endswith("SSL") else None
    if protocol in ("PLAINTEXT", "SSL"):
        return faust.SSLCredentials(context) if context else None
    mechanism = arguments.get("sasl_mechanism", "PLAIN")
    if "sasl_plain_username" not in arguments:
        raise ConfigurationRefused(
            "Faust cannot log in this way",
            code="KAFKA_PROPERTY",
            expected="sasl.jaas.config with a user's name and password",
            got=f"sasl.mechanism {mechanism}",
        )
    return faust.SASLCredentials(
        username=arguments["sasl_plain_username"],
        password=arguments["sasl_plain_password"],
        ssl_context=context,
        mechanism=mechanism,
    )


def _context(arguments: Mapping[str, Any]) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=arguments.get("ssl_cafile"))
    context.check_hostname = arguments.get("ssl_check_hostname", True)
    if "ssl_certfile" in arguments:
        context.load_cert_chain(arguments["ssl_certfile"], password=arguments.get("ssl_password"))
    if "ssl_ciphers" in arguments:
        context.set_ciphers(arguments["ssl_ciphers"])
    return context
