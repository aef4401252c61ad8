"""A whole job in one process: no Java, no Kafka, seconds. For tutorials and for users' own tests.

Cores and couriers are those of a real job, each in a thread; the broker is the in-memory double,
and evidence is SIMULATED. Everything is in this process's memory, so nothing is confidential.

>>> import numpy as np, torch
>>> from functools import partial
>>> from torch import nn
>>> from chiron_stream.job.terms import read_terms
>>> from chiron_stream.recipe import Recipe
>>> from enclave_workers.local import LocalJob
>>> columns = [
...     {"name": "x", "kind": "number", "low": -1, "high": 1},
...     {"name": "side", "kind": "label", "classes": ["left", "right"]},
... ]
>>> members = {"owners": {"alice": ["points"]}, "provider": "bob", "clients": ["carol"]}
>>> terms = read_terms({"name": "tutorial", **members, "columns": columns})
>>> recipe = Recipe.export(
...     nn.Sequential(nn.Linear(1, 2)),
...     loss=nn.CrossEntropyLoss(),
...     inputs={"input": ["x"]},
...     target="side",
...     optimizer=partial(torch.optim.SGD, lr=1.0),
...     batch_size=16,
... )
>>> x = np.linspace(-1, 1, 400, dtype=np.float32)
>>> rows = {"x": x, "side": ["left" if one < 0 else "right" for one in x]}
>>> with LocalJob(terms) as job:
...     job.provider().publish(recipe)
...     job.owner("alice").publish(rows, dataset="points").wait("trained")
...     job.client("carol").predict({"x": 0.5}).value
'right'

Trainers use torch's global generator and settings: while a job trains, do not draw from it. Several
trainers take turns, slot by slot, with the bits that trainers in processes of their own have: a
``step_deadline`` must leave room for the others' slots. The page for users is
``docs/local-jobs.md``.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from chiron_stream.broker.catalogue import load_catalogue
from chiron_stream.broker.drift import apply
from chiron_stream.broker.memory import MemoryBroker
from chiron_stream.broker.memory.groups import MemoryGroups
from chiron_stream.clients.auditor import Auditor
from chiron_stream.clients.owner import DataOwner
from chiron_stream.clients.party import Member
from chiron_stream.clients.provider import ModelProvider
from chiron_stream.clients.query import QueryClient
from chiron_stream.errors import ChironError, Timeout, UsageRefused
from chiron_stream.job.policy import Role
from chiron_stream.job.simulation import InsecureSimulation
from chiron_stream.job.terms import Terms
from chiron_stream.local.directory import JobDirectory, create
from chiron_stream.simulation.authority import Authority
from chiron_stream.simulation.service import answer
from chiron_stream.wire.courier import Progress
from enclave_workers.core.__main__ import run
from enclave_workers.core.link import CourierGone, Link
from enclave_workers.courier.effects import Effects
from enclave_workers.courier.serving import Outside, Server

WORKERS: Final[Mapping[str, int]] = {"coordinator": 1, "trainer": 1, "predictor": 1}
STOP_SECONDS: Final = 30.0

P = TypeVar("P", bound=Member)


class LocalWorker:
    """A core and its courier, each a thread, and the socket pair between them.

    ``error`` is what ended the core, other than its end of file.
    """

    def __init__(
        self,
        name: str,
        role: str,
        effects: Effects,
        outside: Outside,
        told: Callable[[Progress], None],
    ) -> None:
        self.name = name
        self.role = role
        self.error: ChironError | None = None
        self._effects = effects
        self._server = Server(effects, outside, told)
        self._of_core, self._of_courier = socket.socketpair()
        self._threads = [
            threading.Thread(target=target, name=f"{name} {half}", daemon=True)
            for half, target in (("core", self._core), ("courier", self._courier))
        ]
        for thread in self._threads:
            thread.start()

    @property
    def alive(self) -> bool:
        """Whether the core still runs."""
        return self._threads[0].is_alive()

    def _core(self) -> None:
        with self._of_core:
            link = Link(self._of_core)
            link.gone = lambda: self._give_up(link)
            try:
                run(self.role, link)
            except CourierGone:
                return
            except ChironError as error:
                self.error = error

    @staticmethod
    def _give_up(link: Link) -> None:
        """Let what is being computed end at its next step: nobody takes it any more."""
        link.draining = True

    def _courier(self) -> None:
        try:
            with self._of_courier, suppress(OSError):  # the connection was cut
                self._server.serve(self._of_courier)
        finally:
            self._effects.close()

    def kill(self) -> None:
        """Cut the connection: nothing more of this worker reaches the broker."""
        with suppress(OSError):  # it ended by itself
            self._of_courier.shutdown(socket.SHUT_RDWR)

    def join(self) -> None:
        """Wait until both threads have ended.

        :raises Timeout: they did not.
        """
        for thread in self._threads:
            thread.join(STOP_SECONDS)
            if thread.is_alive():
                raise Timeout(f"{thread.name} does not end", expected=f"within {STOP_SECONDS:g} s")


class LocalJob:
    """A SIMULATED job with all its workers in this process, as long as this object is open.

    ``job`` is the verified job, ``directory`` where its keys are, ``broker`` the broker in memory,
    ``workers`` every worker that was started, by name.

    :param job: terms, which get new keys for all members, in a directory that goes with the job; or
        a directory that ``chiron init`` made, in which nothing is changed.
    :param workers: how many of each role; a role that is left out has none.
    :param threads: of torch, in each trainer and predictor.
    :param broker: another in-memory broker, such as one that lies.
    :raises ConfigurationRefused: there is no job in the directory.
    :raises JobRefused: its file does not verify.
    """

    def __init__(
        self,
        job: Terms | JobDirectory | Path | str,
        *,
        workers: Mapping[str, int] = WORKERS,
        threads: int = 1,
        broker: MemoryBroker | None = None,
    ) -> None:
        self._scratch: TemporaryDirectory[str] | None = None
        if isinstance(job, Terms):
            self._scratch = TemporaryDirectory(prefix="chiron-local-")
            self.directory = create(Path(self._scratch.name), job)
        else:
            self.directory = job if isinstance(job, JobDirectory) else JobDirectory(Path(job))
        self.job = self.directory.job()
        self._catalogue = load_catalogue()
        self.broker = broker or MemoryBroker(limit_of=self._catalogue.value_limit)
        self._groups = MemoryGroups(self.broker, self._partitions)
        self._planned = workers
        self._threads = threads
        self._authority = Authority.load(self.directory.quoting)
        self._changed = threading.Condition()
        self._status: Progress | None = None
        self._parties: list[Member] = []
        self.workers: dict[str, LocalWorker] = {}

    def start(self) -> Self:
        """Create the topics and start the workers; ``with`` does this, and :meth:`stop`."""
        apply(self._catalogue, self.job.policy.name, self.broker.administration())
        for role, count in self._planned.items():
            for _ in range(count):
                self.start_worker(role)
        return self

    def start_worker(self, role: str, broker: MemoryBroker | None = None) -> str:
        """Start one more worker of a role and return its name, such as ``trainer-0``.

        :param broker: its own way to the cluster of the job's broker, such as one that stalls.
        """
        name = f"{role}-{sum(one.role == role for one in self.workers.values())}"
        effects = self.effects(broker)
        outside = Outside(self.directory.job_file.read_text("utf-8"), self._threads, self._relay)
        told = self._told if role == "coordinator" else _unheard
        self.workers[name] = LocalWorker(name, role, effects, outside, told)
        return name

    def effects(self, broker: MemoryBroker | None = None) -> Effects:
        """Return what one more courier does to the broker."""
        name = self.job.policy.name
        return Effects(broker or self.broker, self._catalogue, name, join=self._groups.join)

    def _partitions(self, topic: str) -> int:
        return self.broker.administration().describe([topic])[topic].partitions

    def _relay(self, request: bytes) -> bytes:
        return answer(self._authority, request, int(time.time()))

    def _told(self, progress: Progress) -> None:
        with self._changed:
            self._status = progress
            self._changed.notify_all()

    def kill(self, name: str) -> None:
        """Cut a worker off, whatever it is doing, and do not wait for its threads.

        What it was doing is done again by another of its role, if there is one or one is started.
        """
        self.workers[name].kill()

    def stop_worker(self, name: str) -> None:
        """Cut a worker off and wait until it has ended."""
        self.workers[name].kill()
        self.workers[name].join()

    @property
    def status(self) -> Progress | None:
        """What the coordinator last told of the job, in counts; None before it did."""
        return self._status

    def wait(self, until: Callable[[Progress], bool], timeout: float = 60.0) -> Progress:
        """Wait until the coordinator tells what ``until`` is true of, and return that.

        :param until: such as ``lambda status: status.state == "finished"``.
        :raises Timeout: it did not in ``timeout`` seconds.
        """
        with self._changed:
            if self._changed.wait_for(lambda: self._reached(until), timeout) and self._status:
                return self._status
        raise Timeout("the job did not come so far", expected=f"within {timeout:g} s", got=self._at)

    def _reached(self, until: Callable[[Progress], bool]) -> bool:
        return self._status is not None and until(self._status)

    @property
    def _at(self) -> str:
        ended = [f"{one.name}: {one.error}" for one in self.workers.values() if one.error]
        return "; ".join([str(self._status), *ended])

    def owner(self, name: str) -> DataOwner:
        """Return a data owner of the job, connected; closed with the job.

        :raises UsageRefused: NO_MEMBER: nobody has this name.
        :raises JobRefused: ROSTER: the member has another role.
        """
        return self._party(DataOwner, name)

    def provider(self) -> ModelProvider:
        """Return the model provider, connected; closed with the job."""
        return self._party(ModelProvider, self._first(Role.PROVIDER))

    def auditor(self) -> Auditor:
        """Return the auditor, connected; closed with the job.

        :raises UsageRefused: the job has none.
        """
        return self._party(Auditor, self._first(Role.AUDITOR))

    def client(self, name: str, **options: Any) -> QueryClient:
        """Return a query client of the job, connected; closed with the job.

        :param options: further ones of the client, such as ``state``.
        :raises UsageRefused: NO_MEMBER: nobody has this name.
        :raises JobRefused: ROSTER: the member has another role.
        """
        return self._party(QueryClient, name, **options)

    def _first(self, role: Role) -> str:
        names = [one.name for one in self.job.policy.roster if one.role is role]
        if not names:
            raise UsageRefused(f"the job has no {role.name.lower()}", code="NO_MEMBER")
        return names[0]

    def _party(self, kind: type[P], name: str, **options: Any) -> P:
        path = self.directory.identity(name)
        if not path.exists():
            raise UsageRefused(f"the job has no member {name}", code="NO_MEMBER")
        party = kind(self.job, path, evidence=InsecureSimulation(), broker=self.broker, **options)
        self._parties.append(party)
        return party

    def stop(self) -> None:
        """Close the parties, cut all workers off and wait until every thread has ended."""
        for party in self._parties:
            party.close()
        for worker in self.workers.values():
            worker.kill()
        for worker in self.workers.values():
            worker.join()
        if self._scratch is not None:
            self._scratch.cleanup()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def _unheard(_progress: Progress) -> None:
    """Leave the counts of trainers and predictors alone."""
