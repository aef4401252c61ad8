"""``chiron up``: a local Apache Kafka in the foreground."""

from __future__ import annotations

import signal
import time
from collections.abc import Sequence
from types import FrameType
from typing import NoReturn

from chiron_stream.broker.local import LocalKafka
from chiron_stream.cli.common import Context, context, parser
from chiron_stream.cli.main import NOUNS
from chiron_stream.errors import BrokerNotStarted
from chiron_stream.events import emit


def run(arguments: Sequence[str]) -> int:
    """Start a broker, say where it is, and keep it until it is told to end."""
    made = parser("up", NOUNS["up"])
    made.add_argument(
        "--broker-only",
        action="store_true",
        required=True,
        help="start the broker and nothing else (jobs are not started by this version)",
    )
    made.add_argument("--port", type=int, help="port on 127.0.0.1; the default is a free one")
    ready = context(made.parse_args(arguments))
    signal.signal(signal.SIGTERM, _end)
    kafka = LocalKafka(
        ready.settings.path("broker_directory"),
        port=ready.flags.port,
        heap_mb=ready.settings.number("heap_mb"),
        cache=ready.settings.path("cache"),
        report=ready.output.note,
    )
    began = time.monotonic()
    with kafka:
        _announce(ready, kafka, time.monotonic() - began)
        return _keep(ready, kafka)


def _announce(ready: Context, kafka: LocalKafka, seconds: float) -> None:
    node = kafka.nodes[0]
    servers = kafka.bootstrap_servers
    emit("broker.started", bootstrap_servers=servers, pid=node.pid, seconds=seconds)
    facts = {
        "bootstrap_servers": servers,
        "pid": node.pid,
        "port": node.address.port,
        "log": str(node.log),
    }
    ready.output.data(
        "broker.started", facts, f"CHIRON_BOOTSTRAP_SERVERS={kafka.bootstrap_servers}"
    )
    ready.output.note(f"Apache Kafka is up after {seconds:.1f} s; its log is {node.log}")
    ready.output.note("Ctrl-C stops it; from elsewhere: chiron down")


def _keep(ready: Context, kafka: LocalKafka) -> int:
    process = kafka.nodes[0].process
    code = 0 if process is None else process.wait()
    emit("broker.stopped", bootstrap_servers=kafka.bootstrap_servers)
    if code:
        raise BrokerNotStarted(
            "the local broker ended by itself",
            code="BROKER_ENDED",
            hint=f"its log is {kafka.nodes[0].log}",
        )
    ready.output.note("Apache Kafka was stopped")
    return 0


def _end(_number: int, _frame: FrameType | None) -> NoReturn:
    """End as asked: the broker stops on the way out."""
    raise SystemExit(0)
