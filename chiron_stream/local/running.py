"""A job's processes on this machine: broker, quoting service, workers; started and stopped."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from chiron_stream.broker.catalogue import load_catalogue
from chiron_stream.broker.drift import apply
from chiron_stream.broker.kafka import KafkaBroker
from chiron_stream.broker.local import LocalKafka
from chiron_stream.job.file import Job
from chiron_stream.local.directory import JobDirectory
from chiron_stream.local.services import Service

WORKERS: Final[Mapping[str, int]] = {"coordinator": 1, "trainer": 1, "predictor": 1}
COURIER: Final = ("-m", "enclave_workers.courier")
READY_SECONDS: Final = 20.0


def _silent(_sentence: str) -> None:
    """Report nothing."""


class RunningJob:
    """A SIMULATED job with all its processes, as long as this object is open.

    :param bootstrap_servers: an existing broker; without one a local Apache Kafka is started.
    :param kafka: Kafka client properties for that broker.
    :param workers: how many of each role.
    :param courier: arguments of the interpreter that start a courier.
    :param flags: further flags of every courier.
    :param report: gets a sentence before anything that takes long.
    """

    def __init__(
        self,
        directory: JobDirectory,
        *,
        bootstrap_servers: str | None = None,
        kafka: Mapping[str, str] | None = None,
        heap_mb: int = 512,
        cache: Path | None = None,
        workers: Mapping[str, int] = WORKERS,
        courier: Sequence[str] = COURIER,
        flags: Sequence[str] = (),
        report: Callable[[str], None] = _silent,
        ended: Callable[[Service, int], None] = lambda _service, _code: None,
    ) -> None:
        self.directory = directory
        self.job: Job = directory.job()
        self._servers = bootstrap_servers
        self._kafka_properties = kafka
        self._heap_mb = heap_mb
        self._cache = cache
        self._workers = workers
        self._courier = courier
        self._flags = flags
        self._report = report
        self._ended = ended
        self.kafka: LocalKafka | None = None
        self.quoting: Service | None = None
        self.services: dict[str, Service] = {}

    @property
    def bootstrap_servers(self) -> str:
        """Where the broker is."""
        return self.kafka.bootstrap_servers if self.kafka else self._servers or ""

    def start(self) -> Self:
        """Start everything; on any failure nothing is left behind."""
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def _start(self) -> None:
        if self._servers is None:
            self.kafka = LocalKafka(
                self.directory.broker,
                heap_mb=self._heap_mb,
                cache=self._cache,
                report=self._report,
            )
            self.kafka.start()
        self.directory.set_bootstrap_servers(self.bootstrap_servers)
        self.job = self.directory.job()
        with KafkaBroker(self.bootstrap_servers, self._kafka_properties) as broker:
            broker.connect()
            apply(load_catalogue(), self.job.policy.name, broker.administration())
        self.directory.run.mkdir(exist_ok=True)
        self._forget()
        self._start_quoting()
        for role, count in self._workers.items():
            for number in range(count):
                self.start_worker(role, number)

    def _start_quoting(self) -> None:
        self._report("starting the development quoting service: evidence is SIMULATED")
        log = self.directory.run / "quoting.log"
        log.write_bytes(b"")
        command = [sys.executable, "-m", "chiron_stream.simulation", str(self.directory.quoting)]
        self.quoting = Service("quoting", command, log, ended=self._ended)
        self.quoting.start()
        self.quoting.wait_for("ready", READY_SECONDS)

    def start_worker(self, role: str, number: int) -> Service:
        """Start one worker, courier and core."""
        name = f"{role}-{number}"
        run = self.directory.run
        command = [
            sys.executable,
            *self._courier,
            role,
            *("--job", str(self.directory.job_file)),
            *("--bootstrap-servers", self.bootstrap_servers),
            *("--quoting-service", str(self.directory.quoting)),
            *("--status", str(run / f"{name}.json")),
            *("--metrics", "127.0.0.1:0"),
            "--with-starter",
            *self._flags,
        ]
        service = Service(name, command, run / f"{name}.log", ended=self._ended)
        self.services[name] = service
        service.start()
        return service

    def stop(self) -> None:
        """Stop everything, workers first, and wait until it has ended."""
        for service in reversed(list(self.services.values())):
            service.stop()
        self.services = {}
        if self.quoting is not None:
            self.quoting.stop()
            self.quoting = None
        if self.kafka is not None:
            self.kafka.stop()
            self.kafka = None
        self._forget()

    def _forget(self) -> None:
        """Remove what workers said that have ended, however they did."""
        for status in self.directory.run.glob("*.json"):
            status.unlink()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
