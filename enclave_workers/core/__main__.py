"""Entry of a core: ``python -m enclave_workers.core ROLE``, with its courier's port at hand.

``CHIRON_COURIER_PORT`` is the port on 127.0.0.1 that the courier listens on: the one thing that a
core learns from its environment, and worth nothing to believe. Exit codes are those of
``chiron_stream.errors``; the courier is told why before the end.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
from contextlib import suppress

from chiron_stream.attestation.evidence import ROLES, SIMULATED
from chiron_stream.errors import BugFound, ChironError, UsageRefused
from chiron_stream.job import file
from enclave_workers.core.link import CourierGone, Link
from enclave_workers.core.tee import Tee
from enclave_workers.core.tee.files import own_measurement
from enclave_workers.core.tee.gramine import GramineTee
from enclave_workers.core.tee.simulated import SimulatedTee

PORT_VARIABLE = "CHIRON_COURIER_PORT"


def main(arguments: list[str]) -> int:
    """Run one core; return its exit code."""
    try:
        role, port = _asked(arguments, os.environ.get(PORT_VARIABLE, ""))
    except ChironError as error:
        sys.stderr.write(f"chiron core: error: {error}\n")
        return error.exit_code
    logging.disable(logging.CRITICAL)  # a core has no log: libraries must not write one for it
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # Core and courier live and die together, whatever is being computed.
        link = Link(connection, gone=lambda: os._exit(0))
        try:
            run(role, link)
        except CourierGone:
            return 0
        except ChironError as error:
            return _ended(link, error)
    return 0


def _asked(arguments: list[str], port: str) -> tuple[str, int]:
    if len(arguments) != 1 or arguments[0] not in ROLES:
        raise UsageRefused("which core?", expected=" or ".join(ROLES), got=" ".join(arguments))
    if not port.isdigit() or not 0 < int(port) < 65536:
        raise UsageRefused(f"{PORT_VARIABLE} is not a port", expected="1 to 65535")
    return arguments[0], int(port)


def run(role: str, link: Link) -> None:
    """Run a core on the calling thread until its courier goes away.

    :raises CourierGone: it did; threads that the core started have ended.
    :raises ChironError: whatever else ends a core.
    """
    begun = link.begin()
    job = file.loads(begun.text)
    tee = _tee(role, link, job)
    if role == "coordinator":
        from enclave_workers.core.coordinator import shell as coordinator

        coordinator.run(link, job, tee, begun.now)
    elif role == "trainer":
        from enclave_workers.core.trainer import shell as trainer

        trainer.run(link, job, tee, begun.now, begun.threads)
    else:
        from enclave_workers.core.predictor import shell as predictor

        predictor.run(link, job, tee, begun.now, begun.threads)


def _tee(role: str, link: Link, job: file.Job) -> Tee:
    evidence = job.policy.evidence
    if evidence.profile != SIMULATED:
        return GramineTee(link.collateral)
    if evidence.service_key is None:
        raise BugFound("a simulated policy names a quoting service")
    return SimulatedTee(role, evidence.service_key, link.relay, own_measurement(role))


def _ended(link: Link, error: ChironError) -> int:
    with suppress(CourierGone):
        link.ended(error)
    return error.exit_code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
