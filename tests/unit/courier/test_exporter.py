"""``/metrics`` and ``/healthz`` over a loopback socket, to friends and to others."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from chiron_stream.errors import BugFound, ChironError, UsageRefused
from chiron_stream.telemetry import Shown
from chiron_stream.wire.courier import Progress
from enclave_workers.courier import exporter
from enclave_workers.courier.exporter import Exporter, endpoint, exported
from enclave_workers.courier.health import Verdict
from enclave_workers.courier.telemetry import Board, exposition


class Worker:
    """A worker whose health a test decides."""

    def __init__(self) -> None:
        self.board = Board("trainer", 42, 1000.0)
        self.board.told(Progress("ready", tasks=3, busy=True), 1001.0)
        self.verdict = Verdict()
        self.broken = False

    def fields(self) -> dict[str, Shown]:
        if self.broken:
            raise BugFound("alice,42")
        return self.board.fields(self.verdict, 1002.0)


@pytest.fixture
def worker() -> Worker:
    return Worker()


@pytest.fixture
def serving(worker: Worker) -> Iterator[Exporter]:
    made = Exporter("127.0.0.1", 0, worker.fields)
    made.start()
    yield made
    made.stop()


def dial(serving: Exporter) -> socket.socket:
    host, _, port = serving.address.rpartition(":")
    return socket.create_connection((host, int(port)), timeout=10)


def said(connection: socket.socket) -> bytes:
    """Return what comes until the other side is done."""
    found = b""
    try:
        while part := connection.recv(65536):
            found += part
    except ConnectionResetError:
        pass
    return found


def ask(serving: Exporter, head: str) -> tuple[int, dict[str, str], str]:
    """Send a request's head; return status, headers and body."""
    with dial(serving) as connection:
        connection.sendall(head.encode("latin-1"))
        answer = said(connection).decode()
    top, _, body = answer.partition("\r\n\r\n")
    first, *rest = top.split("\r\n")
    return int(first.split()[1]), dict(line.split(": ", 1) for line in rest), body


def get(serving: Exporter, path: str) -> tuple[int, dict[str, str], str]:
    return ask(serving, f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")


def test_metrics_are_the_exposition(serving: Exporter, worker: Worker) -> None:
    status, headers, body = get(serving, "/metrics")
    assert (status, headers["Content-Type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert body == exposition(worker.fields())
    assert int(headers["Content-Length"]) == len(body)


def test_health_of_a_green_worker_is_200_and_ok(serving: Exporter) -> None:
    status, headers, body = get(serving, "/healthz")
    assert (status, headers["Content-Type"]) == (200, "application/json")
    assert json.loads(body) == {
        "state": "ok",
        "role": "trainer",
        "reason": "",
        "busy": True,
        "last_progress": 1001.0,
    }


def test_health_of_a_red_worker_is_503_with_the_reason(serving: Exporter, worker: Worker) -> None:
    worker.verdict = Verdict("no-progress", 31.0)
    status, _, body = get(serving, "/healthz")
    assert status == 503
    assert (json.loads(body)["state"], json.loads(body)["reason"]) == ("red", "no-progress")
    assert get(serving, "/metrics")[0] == 200


@pytest.mark.parametrize(
    "path", ["/", "/metrics/", "/metrics?x=1", "/healthz/../metrics", "/status", "//", "*", "/%2e"]
)
def test_any_other_path_is_not_found(serving: Exporter, path: str) -> None:
    status, _, body = get(serving, path)
    assert (status, body) == (404, "not found\n")


@pytest.mark.parametrize("method", ["POST", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE", "ALICE"])
def test_any_other_method_is_not_found(serving: Exporter, method: str) -> None:
    head = f"{method} /metrics HTTP/1.1\r\nContent-Length: 0\r\n\r\n"
    assert ask(serving, head)[0] == 404


@pytest.mark.parametrize(
    "head",
    [
        "alice\r\n\r\n",
        "GET /metrics HTTP/9.9\r\n\r\n",
        "GET /metrics HTTP/1.1\r\nno colon\r\n\r\n",
        "GET /alice, 42 HTTP/1.1\r\n\r\n",
    ],
)
def test_what_is_no_request_is_refused_and_not_repeated(serving: Exporter, head: str) -> None:
    with dial(serving) as connection:
        connection.sendall(head.encode())
        answer = said(connection).decode()
    assert "alice" not in answer
    assert "Traceback" not in answer
    assert get(serving, "/healthz")[0] == 200


def test_head_that_is_too_long_gets_no_answer(serving: Exporter, worker: Worker) -> None:
    with dial(serving) as connection:
        connection.sendall(b"GET /metrics HTTP/1.1\r\nX: " + b"x" * exporter.HEAD_BYTES)
        assert said(connection) == b""
    long = "x" * (exporter.HEAD_BYTES - 100)
    assert ask(serving, f"GET /metrics HTTP/1.1\r\nX: {long}\r\n\r\n")[0] == 200


def test_head_that_does_not_come_in_time_gets_no_answer(
    serving: Exporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Byte after byte does not make it longer."""
    monkeypatch.setattr(exporter, "REQUEST_SECONDS", 0.3)
    began = time.monotonic()
    with dial(serving) as connection:
        connection.sendall(b"GET /metrics")
        assert said(connection) == b""
    assert time.monotonic() - began < 5


def test_connections_are_bounded_and_room_is_made_again(
    serving: Exporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporter, "REQUEST_SECONDS", 2.0)
    with ExitStack() as stack:
        held = [stack.enter_context(dial(serving)) for _ in range(exporter.CONNECTIONS + 4)]
        for connection in held:
            connection.settimeout(10)
        answers = [said(one) for one in held]
        assert answers == [b""] * len(held), "those beyond the bound at once, others in time"
    assert get(serving, "/healthz")[0] == 200


def test_error_shows_nothing_to_anybody(
    serving: Exporter, worker: Worker, capfd: pytest.CaptureFixture[str]
) -> None:
    worker.broken = True
    with dial(serving) as connection:
        connection.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
        assert said(connection) == b""
    worker.broken = False
    assert get(serving, "/metrics")[0] == 200
    assert capfd.readouterr() == ("", "")


def test_server_names_no_version(serving: Exporter) -> None:
    assert get(serving, "/metrics")[1]["Server"] == "chiron"


def test_stopped_server_frees_its_port(worker: Worker) -> None:
    board = worker.board
    with exported(board, worker.fields, ("127.0.0.1", 0)):
        address = board.metrics
    port = int(address.rpartition(":")[2])
    with exported(board, worker.fields, ("127.0.0.1", port)):
        assert board.metrics == address


def test_port_that_is_taken_is_named(serving: Exporter, worker: Worker) -> None:
    port = int(serving.address.rpartition(":")[2])
    with pytest.raises(ChironError, match=f"127.0.0.1 port {port}") as refused:
        Exporter("127.0.0.1", port, worker.fields)
    assert refused.value.code == "PORT_TAKEN"


def test_without_an_address_nothing_is_served(worker: Worker) -> None:
    with exported(worker.board, worker.fields, None):
        assert worker.board.metrics == ""


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("9200", ("127.0.0.1", 9200)),
        (":9200", ("127.0.0.1", 9200)),
        ("localhost:9200", ("127.0.0.1", 9200)),
        ("127.0.0.1:0", ("127.0.0.1", 0)),
        ("[::1]:9200", ("::1", 9200)),
        ("192.0.2.7:9200", ("192.0.2.7", 9200)),
        ("0.0.0.0:9200", ("0.0.0.0", 9200)),  # noqa: S104  (asked for in so many words)
    ],
)
def test_endpoint_is_on_the_loopback_interface_unless_an_address_says_otherwise(
    text: str, where: tuple[str, int]
) -> None:
    assert endpoint(text) == where


@pytest.mark.parametrize(
    "text", ["", "x", "example.org:9200", "*:9200", "127.0.0.1", "127.0.0.1:65536", "1.2.3.4:-1"]
)
def test_endpoint_that_names_no_address_and_port_is_refused(text: str) -> None:
    with pytest.raises(UsageRefused, match="where shall metrics be served"):
        endpoint(text)
