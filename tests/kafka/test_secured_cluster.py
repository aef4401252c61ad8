"""TLS and SASL: the user's properties, under Kafka's names, against a real secured listener."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from chiron_stream.broker.kafka import KafkaBroker
from chiron_stream.broker.local import LocalKafka
from chiron_stream.broker.local.properties import free_ports
from chiron_stream.broker.records import Outgoing, Partition, TopicState
from chiron_stream.errors import BrokerUnreachable, ChironError, NotAuthorized
from tests.kafka.certificates import authority, key_store
from tests.kafka.processes import eventually

pytestmark = pytest.mark.kafka

PLAIN = "org.apache.kafka.common.security.plain.PlainLoginModule required"


@dataclass(frozen=True)
class Secured:
    endpoint: str
    properties: dict[str, str]
    foreign_authority: Path
    wrong_name_endpoint: str


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    """A broker with a SASL_SSL listener that asks clients for a certificate."""
    folder = tmp_path_factory.mktemp("tls")
    root, foreign = authority(folder, "root"), authority(folder, "foreign")
    server, client = key_store(folder, "server", root), key_store(folder, "client", root)
    plain, port, controller = free_ports(3)
    settings = server_settings(plain, port, controller, root.file, server)
    with LocalKafka(port=plain, extra=settings):
        properties = {
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": "PLAIN",
            "sasl.jaas.config": f'{PLAIN} username="alice" password="s3cret";',
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(root.file),
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(client),
        }
        yield Secured(f"127.0.0.1:{port}", properties, foreign.file, f"localhost:{port}")


def server_settings(
    plain: int, port: int, controller: int, root: Path, server: Path
) -> dict[str, str]:
    listeners = f"PLAINTEXT://127.0.0.1:{plain},SECURE://127.0.0.1:{port}"
    return {
        "listeners": f"{listeners},CONTROLLER://127.0.0.1:{controller}",
        "advertised.listeners": listeners,
        "controller.quorum.voters": f"1@127.0.0.1:{controller}",
        "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,"
        "SECURE:SASL_SSL",
        "inter.broker.listener.name": "PLAINTEXT",
        "listener.name.secure.ssl.client.auth": "required",
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(server),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(root),
        "sasl.enabled.mechanisms": "PLAIN",
        "listener.name.secure.plain.sasl.jaas.config": f'{PLAIN} user_alice="s3cret";',
    }


def test_records_go_through_a_secured_listener(secured: Secured) -> None:
    place = Partition(f"test.{uuid.uuid4().hex}", 0)
    with KafkaBroker(secured.endpoint, secured.properties) as broker:
        broker.administration().create(place.topic, TopicState(partitions=1))
        with broker.producer() as producer:
            producer.send(Outgoing(place, b"sealed")).result()
        with broker.reader({place: 0}) as reader:
            assert [record.value for record in reader.poll(10)] == [b"sealed"]
        with broker.transactional_writer(place.topic, successor=lambda: False) as writer:
            writer.start()
            transaction = writer.begin()
            transaction.send(Outgoing(place, b"committed"))
            transaction.commit()


def refused(endpoint: str, properties: dict[str, str]) -> ChironError:
    with KafkaBroker(endpoint, properties) as broker, pytest.raises(ChironError) as caught:
        broker.connect(seconds=3.0)
    assert "s3cret" not in repr(caught.value.diagnostics())
    assert endpoint in str(caught.value)
    return caught.value


def test_wrong_password_is_not_authorized(secured: Secured) -> None:
    """Each attempt is refused; kafka-python may see the hang-up before the broker's reason."""
    wrong = secured.properties["sasl.jaas.config"].replace("s3cret", "guess")
    properties = {**secured.properties, "sasl.jaas.config": wrong}
    errors: list[ChironError] = []

    def told() -> bool:
        errors.append(refused(secured.endpoint, properties))
        return isinstance(errors[-1], NotAuthorized)

    eventually(told, "the broker's reason", seconds=90)
    assert errors[-1].exit_code == 5


def test_broker_of_a_foreign_authority_is_refused(secured: Secured) -> None:
    foreign = {"ssl.truststore.location": str(secured.foreign_authority)}
    error = refused(secured.endpoint, {**secured.properties, **foreign})
    assert isinstance(error, BrokerUnreachable)
    assert "certificate verify failed" in str(error)


def test_broker_whose_certificate_names_another_host_is_refused(secured: Secured) -> None:
    error = refused(secured.wrong_name_endpoint, secured.properties)
    assert isinstance(error, BrokerUnreachable)
    assert "certificate" in str(error).lower()


def test_plaintext_client_does_not_get_through(secured: Secured) -> None:
    assert isinstance(refused(secured.endpoint, {}), BrokerUnreachable)
