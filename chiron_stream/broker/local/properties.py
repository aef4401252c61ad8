"""``server.properties`` of a local broker: KRaft, loopback only, small."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

LOOPBACK: Final = "127.0.0.1"


@dataclass(frozen=True)
class NodeAddress:
    """Where one node listens, on the loopback interface."""

    node_id: int
    port: int
    controller_port: int

    @property
    def bootstrap(self) -> str:
        """``host:port`` for clients."""
        return f"{LOOPBACK}:{self.port}"


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on now. Somebody may be quicker than the broker."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind((LOOPBACK, 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def server_properties(
    address: NodeAddress, peers: Sequence[NodeAddress], data: Path, extra: Mapping[str, str]
) -> str:
    """Return the text of ``server.properties`` for one node of a cluster of ``peers``.

    :param extra: settings that replace or add to these, for tests of TLS and time-outs.
    """
    copies = min(3, len(peers))
    settings = {
        "process.roles": "broker,controller",
        "node.id": str(address.node_id),
        "controller.quorum.voters": ",".join(
            f"{peer.node_id}@{LOOPBACK}:{peer.controller_port}" for peer in peers
        ),
        "listeners": f"PLAINTEXT://{address.bootstrap},"
        f"CONTROLLER://{LOOPBACK}:{address.controller_port}",
        "advertised.listeners": f"PLAINTEXT://{address.bootstrap}",
        "controller.listener.names": "CONTROLLER",
        "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
        "log.dirs": str(data),
        "auto.create.topics.enable": "false",
        "default.replication.factor": str(copies),
        "min.insync.replicas": "2" if copies > 2 else "1",
        "offsets.topic.replication.factor": str(copies),
        "transaction.state.log.replication.factor": str(copies),
        "transaction.state.log.min.isr": "2" if copies > 2 else "1",
        "share.coordinator.state.topic.replication.factor": str(copies),
        # Kafka's defaults of 50 partitions each, 128 MB for the log cleaner and 3 s before a
        # group starts are for clusters.
        "offsets.topic.num.partitions": "4",
        "transaction.state.log.num.partitions": "4",
        "log.cleaner.dedupe.buffer.size": "16777216",
        "group.initial.rebalance.delay.ms": "0",
        # How often the broker looks for transactions past their time-out; its default is 10 s.
        "transaction.abort.timed.out.transaction.cleanup.interval.ms": "500",
        **extra,
    }
    return "".join(f"{name}={value}\n" for name, value in settings.items())
