"""``python -m enclave_workers.courier ROLE --job FILE``: one worker, courier and core.

The courier starts its core, serves it, and ends with it: with the core's exit code, and its last
words on standard error. It ends too when its standard input does (``--with-starter``) or on
SIGTERM; the core follows, for its connection is gone.
"""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from chiron_stream import events, timeouts
from chiron_stream.attestation.evidence import ROLES
from chiron_stream.attestation.verification import short
from chiron_stream.broker.catalogue import load_catalogue
from chiron_stream.broker.groups import Group, Joining
from chiron_stream.broker.kafka import KafkaBroker
from chiron_stream.cli.common import EXIT_CODES
from chiron_stream.errors import ChironError, EvidenceRefused, Timeout, UsageRefused
from chiron_stream.job import file
from chiron_stream.settings import resolve
from chiron_stream.simulation.files import core_measurement
from chiron_stream.simulation.relay import relay
from enclave_workers.courier.effects import Effects, no_point
from enclave_workers.courier.environment import core_environment, keep_freed_memory
from enclave_workers.courier.exporter import endpoint, exported
from enclave_workers.courier.health import Verdict, deadline_of
from enclave_workers.courier.serving import Outside, Server
from enclave_workers.courier.telemetry import Board
from enclave_workers.courier.watch import Watch

CORE: Final = (sys.executable, "-m", "enclave_workers.core")
ACCEPT_SECONDS: Final = 60.0
_ACCEPT_LOOK: Final = 0.1
"""Seconds between two looks whether a core that has not connected yet still runs."""

ENDING_SECONDS: Final = 10.0
"""For a core that closed its connection by itself."""

DRAIN_SECONDS: Final = 5.0
"""For a core that was asked to end to leave its work to others (``docs/operating.md``)."""

ASKED_SECONDS: Final = 1.0
"""For a core whose end was asked for. While it loads its libraries it does not see that its
connection is gone, and it has nothing to save: whoever waits for a worker's end waits for both."""

QUOTE_SECONDS: Final = 10.0
TERMINATED: Final = 128 + signal.SIGTERM
MOST_SECONDS: Final = 86_400.0
"""Of a deadline."""


def main(
    arguments: Sequence[str],
    core: Sequence[str] = CORE,
    at_point: Callable[[str], None] = no_point,
) -> int:
    """Run one worker; return its exit code.

    :param core: the command that starts a core, to which its role is added.
    :param at_point: called with the name of each crash point that is passed; for tests.
    """
    flags = _parser().parse_args(arguments)
    events.configure(sys.stderr)
    try:
        return _run(flags, core, at_point)
    except ChironError as error:
        sys.stderr.write(f"chiron {flags.role}: error: {error} [{error.code}]\n")
        return error.exit_code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="chiron worker",
        description="Run one enclave worker: an untrusted courier and its core.",
        epilog=EXIT_CODES,
    )
    parser.add_argument("role", choices=ROLES)
    parser.add_argument("--job", required=True, type=Path, metavar="FILE", help="the job file")
    parser.add_argument("--bootstrap-servers", help="host:port of the brokers")
    parser.add_argument("--config", metavar="FILE", help="configuration file (CHIRON_CONFIG)")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch (default 1)")
    parser.add_argument(
        "--quoting-service",
        type=Path,
        metavar="DIRECTORY",
        help="directory of the development quoting service, for SIMULATED jobs",
    )
    parser.add_argument("--collateral", type=Path, metavar="FILE", help="for hardware quotes")
    parser.add_argument("--root", type=Path, metavar="FILE", help="for hardware quotes")
    parser.add_argument(
        "--core",
        metavar="COMMAND",
        help='starts the core instead of this Python, such as "gramine-sgx trainer"',
    )
    parser.add_argument("--status", type=Path, metavar="FILE", help="where counts are written")
    parser.add_argument(
        "--metrics",
        metavar="HOST:PORT",
        help="serve /metrics and /healthz there; HOST is 127.0.0.1 by default, port 0 a free one",
    )
    parser.add_argument(
        "--deadline",
        type=_seconds,
        metavar="SECONDS",
        help="without progress for so long the worker is red, for twice as long it ends "
        f"(a trainer: the policy's step deadline; others {timeouts.STALL:g})",
    )
    parser.add_argument("--with-starter", action="store_true", help="end when standard input ends")
    return parser


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds < MOST_SECONDS:
        raise argparse.ArgumentTypeError(f"more than 0 and less than {MOST_SECONDS:g}")
    return seconds


def _run(flags: argparse.Namespace, core: Sequence[str], at_point: Callable[[str], None]) -> int:
    keep_freed_memory()
    text = _read(flags.job)
    job = file.loads(text)
    if core is CORE and not flags.core:
        _check_core(job, flags.role)
    where = endpoint(flags.metrics) if flags.metrics else None
    settings = resolve({"bootstrap_servers": flags.bootstrap_servers}, os.environ, flags.config)
    servers = flags.bootstrap_servers or job.bootstrap_servers
    catalogue = load_catalogue()
    both = (flags.collateral, flags.root) if flags.collateral and flags.root else None
    outside = Outside(text, flags.threads, _relay(flags.quoting_service), both)
    with KafkaBroker(servers, settings.kafka, limit_of=catalogue.value_limit) as broker:
        broker.connect()
        join = _joining(servers, settings.kafka, job.policy.name)
        effects = Effects(broker, catalogue, job.policy.name, at_point, join)
        deadline = flags.deadline or deadline_of(flags.role, job.policy.schedule.step_deadline)
        board = Board(flags.role, os.getpid(), time.time())
        watch = Watch(board, effects, deadline, flags.status)
        server = Server(effects, outside, watch.told, watch.asked)
        try:
            with exported(board, watch.fields, where):
                return _with_core(flags, core, server, watch)
        finally:
            effects.close()


def _joining(servers: str, properties: Mapping[str, str], name: str) -> Joining:
    def join(topic: str, arrived: Callable[[], None]) -> Group:
        from enclave_workers.courier.predictor import FaustGroup

        group = f"chiron.{name}.{topic.rpartition('.')[2]}"
        return FaustGroup(servers, properties, topic, group, arrived)

    return join


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageRefused(f"cannot read the job file {path}", got=type(error).__name__) from error


def _check_core(job: file.Job, role: str) -> None:
    """Say at once that nobody will accept this core; without it, it would wait for ever.

    A courtesy to whoever runs another version, and no guard: those are the appraisals.

    :raises EvidenceRefused: the policy of a SIMULATED job names other cores.
    """
    if not job.policy.is_simulated:
        return
    allowed, found = job.policy.evidence.allowed(role), core_measurement(role)
    if found not in allowed:
        known = ", ".join(short(one) for one in sorted(allowed)) or "none"
        raise EvidenceRefused(
            f"the core of the {role} here is not one that the job's policy names",
            (f"measurement: expected {known}, got {short(found)}",),
            hint="run the version that made the job, or make a new job",
        )


def _relay(directory: Path | None) -> Callable[[bytes], bytes] | None:
    if directory is None:
        return None
    return lambda request: relay(directory, request, QUOTE_SECONDS)


def _with_core(flags: argparse.Namespace, core: Sequence[str], server: Server, watch: Watch) -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        command = shlex.split(flags.core) if flags.core else [*core, flags.role]
        process = _start(command, listener.getsockname()[1])
        ending = _Ending(process, server, with_starter=flags.with_starter)
        watch.start(ending.stall)
        try:
            connection = _accepted(listener, process)
            if connection is None:
                process.kill()
            else:
                with connection:
                    _serve(connection, server, ending)
            code = ending.wait()
        finally:
            watch.stop()
    ending.check()
    if server.ended is not None:
        words = server.ended
        sys.stderr.write(f"chiron {flags.role}: error: {words.message} [{words.code}]\n")
        return words.exit_code
    return 0 if ending.asked else code or 1


def _accepted(listener: socket.socket, core: subprocess.Popen[bytes]) -> socket.socket | None:
    """Return the core's connection, or None when it ended or did not connect in time."""
    listener.settimeout(_ACCEPT_LOOK)
    deadline = time.monotonic() + ACCEPT_SECONDS
    while core.poll() is None and time.monotonic() < deadline:
        with suppress(TimeoutError):
            return listener.accept()[0]
    return None


def _serve(connection: socket.socket, server: Server, ending: _Ending) -> None:
    """Serve a core until its connection ends, however it does: with the core, or as asked."""
    try:
        connection.settimeout(None)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        ending.watch(connection)
        server.serve(connection)
    except ConnectionError:
        return  # a core that was killed leaves a reset instead of an end of file
    except OSError:
        if not ending.asked:
            raise


def _start(command: Sequence[str], port: int) -> subprocess.Popen[bytes]:
    environment = {**core_environment(os.environ), "CHIRON_COURIER_PORT": str(port)}
    return subprocess.Popen(  # noqa: S603  (our own interpreter, or what --core names)
        command, stdin=subprocess.DEVNULL, env=environment
    )


class _Ending:
    """Ends the core when it is time: it is asked, then its connection is shut and it is waited for.

    A core that is asked leaves its work to others, so that nobody waits for a time-out.
    """

    def __init__(
        self, core: subprocess.Popen[bytes], server: Server, *, with_starter: bool
    ) -> None:
        self._core = core
        self._connection: socket.socket | None = None
        self._server = server
        self._stalled: Verdict | None = None
        self.asked = False
        signal.signal(signal.SIGTERM, lambda *_: self.end())
        signal.signal(signal.SIGINT, lambda *_: self.end())
        if with_starter:
            threading.Thread(target=self._with_starter, daemon=True).start()

    def _with_starter(self) -> None:
        while os.read(sys.stdin.fileno(), 4096):
            pass
        self.end()

    def watch(self, connection: socket.socket) -> None:
        """Remember what to shut."""
        self._connection = connection
        if self.asked:
            self._shut()

    def end(self) -> None:
        """Ask for the end, from a signal handler or a thread."""
        again, self.asked = self.asked, True
        self._server.draining = True
        if self._connection is None:
            self._core.kill()
        elif not again:
            timer = threading.Timer(DRAIN_SECONDS, self._shut)
            timer.daemon = True
            timer.start()

    def stall(self, verdict: Verdict) -> None:
        """End a core that makes no progress, from a thread; it has nothing left to say."""
        self._stalled, self.asked = verdict, True
        self._core.kill()
        self._shut()

    def check(self) -> None:
        """Raise :class:`Timeout` if the core made no progress."""
        if self._stalled is not None:
            raise Timeout(
                "the core makes no progress",
                code="STALLED",
                expected="a sign of work within the deadline",
                got=f"{self._stalled.reason} for {self._stalled.seconds:.0f} s",
            )

    def _shut(self) -> None:
        if self._connection is not None:
            with suppress(OSError):  # the core has gone first
                self._connection.shutdown(socket.SHUT_RDWR)

    def wait(self) -> int:
        """Wait for the core to end; return its exit code."""
        try:
            return self._core.wait(ASKED_SECONDS if self.asked else ENDING_SECONDS)
        except subprocess.TimeoutExpired:
            self._core.kill()
            return self._core.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
