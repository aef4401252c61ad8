"""Kafka's own property names, for kafka-python."""

from __future__ import annotations

import pytest

from chiron_stream.broker.kafka.properties import translate
from chiron_stream.errors import ConfigurationRefused

SCRAM = (
    "org.apache.kafka.common.security.scram.ScramLoginModule required "
    'username="alice" password="p\\"q\\\\r";'
)


def test_a_client_properties_file_of_a_secured_cluster_translates() -> None:
    arguments = translate(
        {
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.jaas.config": SCRAM,
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": "/etc/ca.pem",
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": "/etc/client.pem",
            "ssl.key.password": "k",
            "ssl.endpoint.identification.algorithm": "https",
            "reconnect.backoff.ms": "20",
        }
    )
    assert arguments == {
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "alice",
        "sasl_plain_password": 'p"q\\r',
        "ssl_cafile": "/etc/ca.pem",
        "ssl_certfile": "/etc/client.pem",
        "ssl_keyfile": "/etc/client.pem",
        "ssl_password": "k",
        "ssl_check_hostname": True,
        "reconnect_backoff_ms": 20,
    }


def test_host_name_check_is_off_only_when_asked_for_in_kafkas_way() -> None:
    name = "ssl.endpoint.identification.algorithm"
    assert translate({name: ""}) == {"ssl_check_hostname": False}
    assert "ssl_check_hostname" not in translate({})


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("acks", "1", "cannot be set"),
        ("enable.idempotence", "false", "cannot be set"),
        ("isolation.level", "read_uncommitted", "cannot be set"),
        ("auto.offset.reset", "earliest", "cannot be set"),
        ("transactional.id", "x", "cannot be set"),
        ("bootstrap.servers", "x:1", "cannot be set"),
        ("sasl.username", "x", "not known"),
        ("security.protocl", "SSL", "not known"),
        ("reconnect.backoff.ms", "soon", "does not read"),
        ("ssl.truststore.type", "JKS", "does not read"),
        ("ssl.endpoint.identification.algorithm", "none", "does not read"),
        ("sasl.jaas.config", "username=alice password=hunter2", "does not read"),
        ("sasl.jaas.config", SCRAM.replace('username="alice" ', ""), "does not read"),
    ],
)
def test_property_is_refused_by_name(name: str, value: str, shown: str) -> None:
    with pytest.raises(ConfigurationRefused, match=shown) as refused:
        translate({name: value})
    assert name in str(refused.value)
    assert refused.value.code == "KAFKA_PROPERTY"


def test_refusal_of_a_secret_does_not_show_it() -> None:
    with pytest.raises(ConfigurationRefused) as refused:
        translate({"sasl.jaas.config": "password=hunter2"})
    assert "hunter2" not in repr(refused.value.diagnostics())
