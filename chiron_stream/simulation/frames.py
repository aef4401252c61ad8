"""Frames on the quoting service's socket: four bytes of length, big-endian, then so many bytes."""

from __future__ import annotations

import socket
import struct

from chiron_stream.attestation.quoting import FRAME_LIMIT
from chiron_stream.errors import ChironError


class FrameRefused(ChironError):
    """A frame that is too long, or that ends early."""

    default_code = "FRAME"


def send(connection: socket.socket, data: bytes) -> None:
    """Send one frame."""
    connection.sendall(struct.pack(">I", len(data)) + data)


def receive(connection: socket.socket) -> bytes | None:
    """Return the next frame's bytes, or ``None`` when the other side has ended.

    :raises FrameRefused: it is longer than :data:`FRAME_LIMIT`, or cut.
    """
    head = _exactly(connection, 4)
    if not head:
        return None
    length = struct.unpack(">I", head)[0]
    if length > FRAME_LIMIT:
        raise FrameRefused(
            "a frame is too long", expected=f"at most {FRAME_LIMIT} bytes", got=str(length)
        )
    body = _exactly(connection, length)
    if len(body) < length:
        raise FrameRefused("a frame ends early", expected=f"{length} bytes", got=str(len(body)))
    return body


def _exactly(connection: socket.socket, count: int) -> bytes:
    data = bytearray()
    while len(data) < count:
        part = connection.recv(count - len(data))
        if not part:
            break
        data += part
    if data and len(data) < count:
        raise FrameRefused("a frame ends early", expected=f"{count} bytes", got=str(len(data)))
    return bytes(data)
