"""The process that holds the make-believe keys: a Unix socket, a thread for each connection.

It ends at the end of its standard input, so that it dies with whoever started it, or at SIGTERM.
What it prints: one line when it listens. It logs no request and no answer.
"""

from __future__ import annotations

import os
import signal
import socket
import socketserver
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Final

from chiron_stream.attestation.evidence import ROLES
from chiron_stream.attestation.quoting import (
    Answer,
    QuoteAnswer,
    QuoteRequest,
    QuotingRefused,
    Request,
    SealingKeyAnswer,
    open_request,
    seal_answer,
)
from chiron_stream.errors import ConfigurationRefused, TamperDetected, UsageRefused
from chiron_stream.simulation.authority import Authority
from chiron_stream.simulation.frames import FrameRefused, receive, send
from chiron_stream.simulation.relay import SOCKET
from chiron_stream.wire.canonical import EncodingRefused

IDLE: Final = 30.0
"""Seconds that a connection may be silent."""

_PATH_LIMIT: Final = 107
"""Bytes of a Unix socket's path, at most (unix(7))."""


def answer(authority: Authority, sealed: bytes, now: int) -> bytes:
    """Return the frame that answers untrusted bytes: sealed, or a refusal in the clear."""
    try:
        request = open_request(authority.service(), sealed)
        if request.role not in ROLES:
            return QuotingRefused(f"expected one of the roles {', '.join(ROLES)}").pack()
        return seal_answer(request, sealed, _answer(authority, request, now))
    except (TamperDetected, EncodingRefused) as error:
        return QuotingRefused(f"not a request to this service: {error.message}").pack()


def _answer(authority: Authority, request: Request, now: int) -> Answer:
    if isinstance(request, QuoteRequest):
        return QuoteAnswer(authority.evidence(request.measurement, request.report_data, now))
    return SealingKeyAnswer(authority.sealing_key(request.measurement, request.label))


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, path: Path, authority: Authority) -> None:
        self.authority = authority
        super().__init__(str(path), _Connection)


class _Connection(socketserver.BaseRequestHandler):
    request: socket.socket
    server: _Server

    def handle(self) -> None:
        self.request.settimeout(IDLE)
        try:
            while (sealed := receive(self.request)) is not None:
                send(self.request, answer(self.server.authority, sealed, int(time.time())))
        except FrameRefused as error:
            self._refuse(str(error))
        except OSError:
            return  # silent for too long, or gone: only this connection ends

    def _refuse(self, reason: str) -> None:
        try:
            send(self.request, QuotingRefused(reason).pack())
        except OSError:
            return  # gone, and so is the wish to know why


def serve(directory: Path) -> None:
    """Serve the keys of a directory until standard input or the process ends.

    :raises ConfigurationRefused: no usable keys, or a service runs there already.
    :raises UsageRefused: the path of the socket is too long for one.
    """
    signal.signal(signal.SIGTERM, _end)
    signal.signal(signal.SIGINT, _end)
    authority = Authority.load(directory)
    with _listening(directory / SOCKET, authority) as server:
        # A daemon: nothing that a connection does keeps the process alive.
        threading.Thread(target=server.serve_forever, daemon=True).start()
        sys.stdout.write(f"ready: SIMULATED quoting service at {directory / SOCKET}\n")
        sys.stdout.flush()
        while os.read(sys.stdin.fileno(), 4096):
            pass


def _end(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)


@contextmanager
def _listening(path: Path, authority: Authority) -> Iterator[_Server]:
    if len(os.fsencode(path)) > _PATH_LIMIT:
        raise UsageRefused(
            f"the path {path} is too long for a socket", expected=f"at most {_PATH_LIMIT} bytes"
        )
    _remove_stale(path)
    before = os.umask(0o177)
    try:
        server = _Server(path, authority)
    finally:
        os.umask(before)
    try:
        yield server
    finally:
        server.server_close()
        path.unlink(missing_ok=True)


def _remove_stale(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except FileNotFoundError:
            return
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return
    raise ConfigurationRefused(f"a quoting service listens at {path} already")
