"""One broker process: its directory, its supervisor, and what its log says when it fails."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from chiron_stream import timeouts
from chiron_stream.broker.local import supervisor
from chiron_stream.broker.local.distribution import VERSION, java
from chiron_stream.broker.local.properties import LOOPBACK, NodeAddress
from chiron_stream.errors import BrokerNotStarted, BrokerUnreachable, Timeout

_LOG4J: Final = Path(__file__).with_name("log4j2.properties")
_FORMAT_HEAP_MB: Final = 128
_POLL_SECONDS: Final = 0.02
_SIGNS: Final = (
    ("No space left on device", "DISK_FULL", "free some space, or name another directory"),
    ("Address already in use", "PORT_TAKEN", "name another port, or none for a free one"),
    ("UnsupportedClassVersionError", "JAVA_TOO_OLD", "install Java 17 or later"),
    ("OutOfMemoryError", "BROKER_MEMORY", "give the broker a larger heap"),
)
"""What in a broker's log means what."""


@dataclass
class LocalNode:
    """One broker process and its supervisor."""

    address: NodeAddress
    directory: Path
    marker: str = field(default_factory=lambda: f"chiron-broker-{uuid.uuid4().hex}")
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)
    _spec: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def log(self) -> Path:
        """The broker's log file."""
        return self.directory / "broker.log"

    @property
    def pid(self) -> int:
        """Process id of the JVM."""
        return int(read_state(self.directory)["pid"])

    def specify(
        self, jars: Path, settings: str, cluster_id: str, heap_mb: int, temporary: Path | None
    ) -> None:
        """Decide what the supervisor is to do, now and at each restart.

        :param settings: the text of ``server.properties``.
        :param temporary: the folder that goes when the broker ends, if one does.
        """
        file = self.directory / "server.properties"
        tool = ["kafka.tools.StorageTool", "format", "-t", cluster_id, "-c", str(file)]
        self._spec = {
            "directory": str(self.directory),
            "data": str(self.directory / "data"),
            "format": [*self._jvm(jars, _FORMAT_HEAP_MB), *tool],
            "run": [*self._jvm(jars, heap_mb), "kafka.Kafka", str(file)],
            "settings": settings,
            "temporary": str(temporary or ""),
            "stop_seconds": timeouts.BROKER_STOP,
            "state": {
                "bootstrap_servers": self.address.bootstrap,
                "port": self.address.port,
                "log": str(self.log),
                "marker": self.marker,
                "version": VERSION,
            },
        }

    def _jvm(self, jars: Path, heap_mb: int) -> list[str]:
        return [
            java(),
            f"-Xmx{heap_mb}m",
            f"-Dchiron.broker={self.marker}",
            f"-Dlog4j2.configurationFile={_LOG4J}",
            "-cp",
            f"{jars}/*",
        ]

    def launch(self) -> None:
        """Start supervisor and broker without waiting for the broker."""
        self.process = subprocess.Popen(  # noqa: S603  (our own module)
            [sys.executable, "-m", supervisor.__name__, self.marker],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C at the terminal is the starter's to handle
        )
        assert self.process.stdin is not None  # noqa: S101  (a pipe was asked for)
        self.process.stdin.write(json.dumps(self._spec).encode() + b"\n")
        self.process.stdin.flush()

    def wait_until_ready(self, deadline: float) -> None:
        """Wait until the broker answers a client.

        :param deadline: in the time of :func:`time.monotonic`.
        :raises BrokerNotStarted: the supervisor gave up, or the deadline passed.
        """
        while not self._listening():
            self._check(deadline)
            time.sleep(_POLL_SECONDS)
        from chiron_stream.broker.kafka import KafkaBroker

        while True:
            self._check(deadline)
            try:
                with KafkaBroker(self.address.bootstrap, QUICK) as broker:
                    broker.connect(2.0)
            except BrokerUnreachable:
                continue
            return

    def _listening(self) -> bool:
        address = (LOOPBACK, self.address.port)
        try:
            with socket.create_connection(address, timeout=1.0) as connected:
                # A connection to a free ephemeral port can be a connection to itself.
                return bool(connected.getsockname() != connected.getpeername())
        except OSError:
            return False

    def _check(self, deadline: float) -> None:
        assert self.process is not None  # noqa: S101  (launched before)
        code = self.process.poll()
        if code is not None:
            raise self._failure(code)
        if time.monotonic() > deadline:
            raise BrokerNotStarted(
                f"the local broker did not answer at {self.address.bootstrap}",
                code="BROKER_LATE",
                expected=f"an answer within {timeouts.BROKER_START:g} s",
                hint=f"the machine may be overloaded; the broker's log is {self.log}",
            )

    def _failure(self, code: int) -> BrokerNotStarted:
        """Return the error for a supervisor that ended with ``code``."""
        if code == supervisor.ALREADY_RUNNING:
            return BrokerNotStarted(
                f"a broker is already running in {self.directory}",
                code="ALREADY_RUNNING",
                hint="use it, or stop it with: chiron down",
            )
        check_disk(self.directory, 1)  # a full disk may not even hold the log that says so
        log = self.log.read_text(errors="replace") if self.log.exists() else ""
        for sign, name, hint in _SIGNS:
            if sign in log:
                return BrokerNotStarted(
                    "the local broker could not start", code=name, got=sign, hint=hint
                )
        errors = [line for line in log.splitlines() if "ERROR" in line or "Exception" in line]
        return BrokerNotStarted(
            "the local broker ended while it was starting",
            code="BROKER_FAILED",
            got=(errors or [f"exit code {code}"])[-1][:300],
            hint=f"its log is {self.log}",
        )

    def end(self, seconds: float) -> None:
        """Close the pipe, which stops the broker, and wait for the supervisor to end."""
        process, self.process = self.process, None
        if process is None or process.stdin is None:
            return
        process.stdin.close()
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()  # and the kernel kills the JVM
            process.wait()


QUICK: Final = {"reconnect.backoff.ms": "20", "reconnect.backoff.max.ms": "100"}
"""Client properties for asking a broker that is just starting."""


def check_disk(directory: Path, free_mb: int) -> None:
    """Refuse a directory without room for a broker.

    :raises BrokerNotStarted: fewer than ``free_mb`` MB are free there.
    """
    free = shutil.disk_usage(directory).free // 2**20
    if free < free_mb:
        raise BrokerNotStarted(
            f"there is no room for a broker in {directory}",
            code="DISK_FULL",
            expected=f"{free_mb} MB free",
            got=f"{free} MB",
            hint="free some space, or name another directory",
        )


def check_port(port: int) -> None:
    """Refuse a port that somebody listens on.

    :raises BrokerNotStarted: the port is taken.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            raise BrokerNotStarted(
                f"the port {port} on {LOOPBACK} is taken",
                code="PORT_TAKEN",
                expected="a port that nobody listens on",
                got=error.strerror,
                hint="name another port, or none for a free one",
            ) from error


def stop_elsewhere(directory: Path) -> bool:
    """Stop the broker that another process started in ``directory``; say whether there was one.

    :raises Timeout: it did not end in time.
    """
    try:
        state = read_state(directory)
    except FileNotFoundError:
        return False
    pid = int(state["supervisor_pid"])
    if not _is_supervisor(pid, str(state["marker"])):
        return False  # killed without a chance to remove its file
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + 2 * timeouts.BROKER_STOP
    while _is_supervisor(pid, str(state["marker"])):
        if time.monotonic() > deadline:
            raise Timeout(
                f"the broker in {directory} did not end",
                expected=f"an end within {2 * timeouts.BROKER_STOP:g} s",
                hint=f"its log is {state['log']}; its supervisor is process {pid}",
            )
        time.sleep(_POLL_SECONDS)
    return True


def _is_supervisor(pid: int, marker: str) -> bool:
    """Whether ``pid`` is still the process that carries ``marker``: ids are used again."""
    shown = subprocess.run(  # noqa: S603
        ["ps", "-ww", "-o", "args=", "-p", str(pid)],  # noqa: S607  (portable beyond /proc)
        capture_output=True,
        text=True,
        check=False,
    )
    return marker in shown.stdout


def read_state(directory: Path) -> dict[str, Any]:
    """Return what the supervisor wrote: pids, port, log, marker.

    :raises FileNotFoundError: no broker is running there.
    """
    state: dict[str, Any] = json.loads((directory / "broker.json").read_text())
    return state
