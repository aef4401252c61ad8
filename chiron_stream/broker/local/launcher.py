"""Starting and stopping a local Apache Kafka; the one launcher for commands, tests and benches."""

from __future__ import annotations

import base64
import os
import shutil
import signal
import tempfile
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from chiron_stream import timeouts
from chiron_stream.broker.local.distribution import VERSION, kafka_jars
from chiron_stream.broker.local.node import LocalNode, check_disk, check_port
from chiron_stream.broker.local.properties import NodeAddress, free_ports, server_properties
from chiron_stream.errors import BrokerNotStarted
from chiron_stream.settings import default_cache

HEAP_MB: Final = 512
"""Java heap of one broker, in MB."""

FREE_MB: Final = 256
"""Free disk space that a start asks for, in MB."""

_PORT_ATTEMPTS: Final = 3


def _silent(_sentence: str) -> None:
    """Report nothing."""


class LocalKafka:
    """A real Apache Kafka on the loopback interface, as long as this process lives.

    >>> with LocalKafka() as kafka:                     # doctest: +SKIP
    ...     KafkaBroker(kafka.bootstrap_servers)

    :param directory: data, log and state file, kept for the next start; the default is a temporary
        directory that goes when the broker ends.
    :param port: of the first node; the default takes a free one.
    :param count: number of nodes; three or more replicate.
    :param heap_mb: Java heap of each node, in MB.
    :param extra: broker settings under Kafka's names that replace or add to ours.
    :param cache: where Kafka's jars are kept.
    :param free_mb: free disk space to ask for, in MB.
    :param report: gets a sentence before anything that takes long.
    """

    def __init__(
        self,
        directory: Path | None = None,
        *,
        port: int | None = None,
        count: int = 1,
        heap_mb: int = HEAP_MB,
        extra: Mapping[str, str] | None = None,
        cache: Path | None = None,
        free_mb: int = FREE_MB,
        report: Callable[[str], None] = _silent,
    ) -> None:
        self._directory = directory
        self._port = port
        self._count = count
        self._heap_mb = heap_mb
        self._extra = dict(extra or {})
        self._cache = cache or default_cache(os.environ)
        self._free_mb = free_mb
        self._report = report
        self.nodes: list[LocalNode] = []

    @property
    def bootstrap_servers(self) -> str:
        """``host:port`` of every node, comma-separated."""
        return ",".join(node.address.bootstrap for node in self.nodes)

    def start(self, timeout: float = timeouts.BROKER_START) -> Self:
        """Start all nodes and wait until each answers; on any failure nothing is left behind.

        :raises BrokerNotStarted: the code says why: JAVA_MISSING, JAVA_TOO_OLD, MAVEN_MISSING,
            KAFKA_FETCH, KAFKA_CORRUPT, PORT_TAKEN, DISK_FULL, ALREADY_RUNNING, BROKER_MEMORY,
            BROKER_LATE, BROKER_FAILED.
        """
        jars = kafka_jars(self._cache, self._report)
        self._report(f"starting Apache Kafka {VERSION}")
        attempts = 1 if self._port else _PORT_ATTEMPTS
        while True:
            attempts -= 1
            try:
                self._start_once(jars, time.monotonic() + timeout)
            except BrokerNotStarted as error:
                self.stop()
                # A free port was taken between our look and the broker's.
                if error.code != "PORT_TAKEN" or not attempts:
                    raise
            except BaseException:
                self.stop()
                raise
            else:
                return self

    def _start_once(self, jars: Path, deadline: float) -> None:
        addresses = self._addresses()
        top = self._directory or Path(tempfile.mkdtemp(prefix="chiron-kafka-"))
        # A cluster id is 16 bytes in URL-safe base64; the first is fixed so that it never begins
        # with a hyphen, which the tool would take for an option.
        cluster_id = base64.urlsafe_b64encode(b"\0" + uuid.uuid4().bytes[1:]).decode().rstrip("=")
        for address in addresses:
            directory = (top if self._count == 1 else top / str(address.node_id)).resolve()
            directory.mkdir(parents=True, exist_ok=True)
            check_disk(directory, self._free_mb)
            node = LocalNode(address, directory)
            self.nodes.append(node)
            settings = server_properties(address, addresses, directory / "data", self._extra)
            temporary = None if self._directory else top
            node.specify(jars, settings, cluster_id, self._heap_mb, temporary)
        for node in self.nodes:
            node.launch()
        for node in self.nodes:
            node.wait_until_ready(deadline)

    def _addresses(self) -> list[NodeAddress]:
        ports = free_ports(2 * self._count)
        if self._port is not None:
            check_port(self._port)
            ports[0] = self._port
        return [
            NodeAddress(number + 1, ports[number], ports[self._count + number])
            for number in range(self._count)
        ]

    def kill(self, number: int = 0) -> None:
        """SIGKILL one broker, as a crash would; :meth:`restart` brings it back.

        Only with a ``directory`` of its own: a temporary one goes with its broker.
        """
        node = self.nodes[number]
        os.kill(node.pid, signal.SIGKILL)
        if node.process is not None:
            node.process.wait(timeouts.BROKER_STOP)

    def restart(self, number: int = 0, timeout: float = timeouts.BROKER_START) -> None:
        """Start a broker that ended, on the same ports and the same data."""
        node = self.nodes[number]
        node.end(timeouts.BROKER_STOP)
        node.launch()
        node.wait_until_ready(time.monotonic() + timeout)

    def stop(self) -> None:
        """Stop every node and wait until it has ended; a second call does nothing."""
        nodes, self.nodes = self.nodes, []
        for node in nodes:
            node.end(2 * timeouts.BROKER_STOP)
        if self._directory is None:
            for node in nodes:
                top = node.directory if self._count == 1 else node.directory.parent
                shutil.rmtree(top, ignore_errors=True)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
