"""The courier's way to the quoting service: bytes there, bytes back, none of them readable."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Final

from chiron_stream.errors import EvidenceRefused
from chiron_stream.simulation.frames import FrameRefused, receive, send

SOCKET: Final = "quoting.sock"


def relay(directory: Path, request: bytes, timeout: float) -> bytes:
    """Carry a sealed request to the service of a directory and return what it answers.

    :param timeout: seconds, for each step.
    :raises EvidenceRefused: nobody answers; the courier learns nothing else.
    """
    path = directory / SOCKET
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(timeout)
            connection.connect(str(path))
            send(connection, request)
            answer = receive(connection)
    except (OSError, FrameRefused) as error:
        raise _unreachable(directory, type(error).__name__) from error
    if answer is None:
        raise _unreachable(directory, "end of file")
    return answer


def _unreachable(directory: Path, cause: str) -> EvidenceRefused:
    return EvidenceRefused(
        "there is no evidence to be had",
        (f"the development quoting service in {directory} does not answer: {cause}",),
        code="QUOTING_SERVICE",
        hint=f"run: python -m chiron_stream.simulation {directory}",
    )
