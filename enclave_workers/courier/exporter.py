"""Serves ``GET /metrics`` and ``GET /healthz``; anything else is 404.

On the loopback interface unless an address says otherwise. There are no secrets in it, and neither
is there access control: who may reach the address may read the counts.
"""

from __future__ import annotations

import ipaddress
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from io import BytesIO
from socketserver import ThreadingTCPServer
from typing import Any, Final

from chiron_stream.errors import ChironError, UsageRefused
from chiron_stream.events import emit
from chiron_stream.telemetry import Shown
from enclave_workers.courier.telemetry import CONTENT_TYPE, Board, exposition

LOOPBACK: Final = "127.0.0.1"
HEAD_BYTES: Final = 8192
"""Bytes of a request, at most."""

REQUEST_SECONDS: Final = 5.0
"""For a request to come in, and for its answer to go out."""

CONNECTIONS: Final = 16
"""At the same time, at most; more are closed."""

Fields = Callable[[], dict[str, Shown]]


def endpoint(text: str) -> tuple[str, int]:
    """Read ``HOST:PORT``; without a host it is the loopback interface.

    :raises UsageRefused: no port, or a host that is no address: a name may stand for any interface.
    """
    host, _, port = text.rpartition(":")
    host = LOOPBACK if host in ("", "localhost") else host.removeprefix("[").removesuffix("]")
    try:
        number, address = int(port), ipaddress.ip_address(host)
    except ValueError as error:
        raise _refused(text) from error
    if not 0 <= number < 65536:
        raise _refused(text)
    return str(address), number


def _refused(text: str) -> UsageRefused:
    return UsageRefused(
        "where shall metrics be served?",
        expected="PORT, or HOST:PORT with an IP address; port 0 is a free one",
        got=text,
    )


class Exporter:
    """An HTTP server as long as this object is open.

    :param host: an IP address.
    :param port: 0 for a free one.
    :param fields: asked at each request.
    :raises ChironError: the port is taken, or the address is none of this machine.
    """

    def __init__(self, host: str, port: int, fields: Fields) -> None:
        try:
            self._server = _Server(host, port, fields)
        except OSError as error:
            raise ChironError(
                f"metrics cannot be served at {host} port {port}",
                code="PORT_TAKEN",
                got=error.strerror or type(error).__name__,
                hint="name another with --metrics",
            ) from error
        number = self._server.server_address[1]
        self.address = f"[{host}]:{number}" if ":" in host else f"{host}:{number}"
        """Where it is."""
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.1,), name="metrics", daemon=True
        )

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Answer no more, and free the port."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()


@contextmanager
def exported(board: Board, fields: Fields, where: tuple[str, int] | None) -> Iterator[None]:
    """Serve a board's fields for the length of a block, if somewhere, and note there where."""
    if where is None:
        yield
        return
    exporter = Exporter(*where, fields)
    board.metrics = exporter.address
    emit("worker.metrics", role=board.role, address=exporter.address)
    exporter.start()
    try:
        yield
    finally:
        exporter.stop()


class _Server(ThreadingTCPServer):
    """A thread for each connection; says nothing of its own on standard error."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, host: str, port: int, fields: Fields) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.fields = fields
        self._free = threading.BoundedSemaphore(CONNECTIONS)
        super().__init__((host, port), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer a connection, or close it when there are too many."""
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer, and make room for the next."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Drop a connection that broke."""


class _Handler(BaseHTTPRequestHandler):
    """Answers one request. Python's parser sees a head that came whole, in time and in bounds."""

    server: _Server
    timeout = REQUEST_SECONDS

    def setup(self) -> None:
        """Read the head."""
        super().setup()
        self.rfile = BytesIO(_head(self.connection))

    def do_GET(self) -> None:
        """Answer what there is."""
        fields = self.server.fields()
        if self.path == "/metrics":
            self._answer(HTTPStatus.OK, CONTENT_TYPE, exposition(fields))
        elif self.path == "/healthz":
            status = HTTPStatus.OK if fields["healthy"] else HTTPStatus.SERVICE_UNAVAILABLE
            self._answer(status, "application/json", json.dumps(healthz(fields)) + "\n")
        else:
            self.send_error(HTTPStatus.NOT_FOUND)

    def _answer(self, status: HTTPStatus, kind: str, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(body)

    def send_error(
        self,
        code: int,
        message: str | None = None,  # noqa: ARG002  (the base's)
        explain: str | None = None,  # noqa: ARG002
    ) -> None:
        """Refuse: what there is not, is not found; nothing of the request is repeated."""
        found = HTTPStatus.NOT_FOUND if code == HTTPStatus.NOT_IMPLEMENTED else HTTPStatus(code)
        self._answer(found, "text/plain", f"{found.phrase.lower()}\n")

    def version_string(self) -> str:
        """Return the header ``Server``."""
        return "chiron"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  (the base's)
        """Log nothing: who asks is nobody's business here."""


def healthz(fields: dict[str, Shown]) -> dict[str, Shown]:
    """Return the answer of ``/healthz``: ``state`` is ``ok`` or ``red``, the rest as shown."""
    shown = ("role", "reason", "busy", "last_progress")
    return {
        "state": "ok" if fields["healthy"] else "red",
        **{name: fields[name] for name in shown},
    }


def _head(connection: socket.socket) -> bytes:
    """Return a request's head; empty when it is too long or does not come in time."""
    head = b""
    deadline = time.monotonic() + REQUEST_SECONDS
    while b"\r\n\r\n" not in head:
        left = deadline - time.monotonic()
        if left <= 0 or len(head) > HEAD_BYTES:
            return b""
        connection.settimeout(left)
        part = connection.recv(HEAD_BYTES)
        if not part:
            return b""
        head += part
    connection.settimeout(REQUEST_SECONDS)
    return head
