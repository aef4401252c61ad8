"""``python -m tests.crash.courier CORE ROLE ...``: a courier that dies where it is ordered to.

The real courier, whose crash points read orders (:mod:`tests.crash.orders`). CORE is the module
that its core runs. A courier kills itself; when its core is to die, it kills that, sees it dead,
and goes on with what it was doing, as a courier does that does not know yet. A worker that
is held back hears nothing new: a slow broker.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import psutil

from chiron_stream.broker.catalogue import Catalogue
from chiron_stream.broker.groups import Joining
from chiron_stream.broker.records import Record
from chiron_stream.broker.seam import Broker
from chiron_stream.wire.courier import Send
from enclave_workers.courier import __main__ as entry
from enclave_workers.courier.effects import Effects
from tests.crash.orders import Death, Deaths, Order, Orders
from tests.crash.pace import Pace


class Executioner:
    """Obeys the orders of one worker; called with each point that is passed."""

    def __init__(self, run: Path, worker: str) -> None:
        self._worker = worker
        self.orders = Orders(run, worker)
        self._deaths = Deaths(run)
        self._stops = Deaths(run, "stops")
        self._pace = Pace(run) if worker.startswith("trainer") else None
        self.topics: tuple[str, ...] = ()

    def __call__(self, point: str) -> None:
        order = self.orders.first()
        if order is None or not self._meant(order, point) or self.orders.pass_by():
            return
        self.orders.obeyed()
        core = psutil.Process().children()[0]
        if order.stop:
            core.suspend()
            self._stops.note(self._death(order, core))
            os.kill(os.getpid(), signal.SIGSTOP)
            return
        if order.victim == "core":
            kill(core.pid)
            self._deaths.note(self._death(order, core))
            return
        self._deaths.note(self._death(order, core))
        os.kill(os.getpid(), signal.SIGKILL)

    @property
    def holds(self) -> bool:
        """Whether the worker is to hear nothing now."""
        return self.orders.held or (self._pace is not None and self._pace.holds(self._worker))

    def _meant(self, order: Order, point: str) -> bool:
        if point != order.point or (order.topic and order.topic not in self.topics):
            return False
        if order.behind is None:
            return True
        worker, deaths = order.behind
        return len(self._deaths.all(worker)) > deaths

    def _death(self, order: Order, core: psutil.Process) -> Death:
        return Death(
            worker=self._worker,
            point=order.point,
            victim=order.victim,
            topics=self.topics,
            courier=os.getpid(),
            core=core.pid,
            born=core.create_time(),
            at=time.time(),
        )


def kill(pid: int) -> None:
    """Kill a core, and wait until it is dead; another thread of the courier may be the one to know.

    Its exit code is the courier's to see: it ends by it.
    """
    core = os.pidfd_open(pid)
    try:
        os.kill(pid, signal.SIGKILL)
        select.select([core], [], [])
    finally:
        os.close(core)


class NotedEffects(Effects):
    """Effects that say which topics they are about while they pass their points."""

    def __init__(
        self,
        broker: Broker,
        catalogue: Catalogue,
        name: str,
        executioner: Executioner,
        join: Joining | None = None,
    ) -> None:
        super().__init__(broker, catalogue, name, executioner, join)
        self._executioner = executioner

    @contextmanager
    def _about(self, *topics: str) -> Iterator[None]:
        self._executioner.topics = tuple(sorted(set(topics)))
        yield
        self._executioner.topics = ()

    def poll(self, limit: int, seconds: float) -> list[Record]:
        deadline = time.monotonic() + seconds
        while self._executioner.holds:
            if time.monotonic() > deadline:
                return []
            time.sleep(0.01)  # between two looks at a condition with a deadline
        return super().poll(limit, seconds)

    def append(self, records: Sequence[Send]) -> tuple[int, ...]:
        with self._about(*(one.topic for one in records)):
            return super().append(records)

    def commit(self, records: Sequence[Send]) -> tuple[int, ...]:
        with self._about(*(one.topic for one in records)):
            return super().commit(records)

    def read(
        self, topic: str, partition: int, first: int, end: int, *, committed: bool
    ) -> tuple[list[Record], int]:
        with self._about(topic):
            return super().read(topic, partition, first, end, committed=committed)


def main(arguments: Sequence[str]) -> int:
    """Run one worker whose core is the first argument; return its exit code."""
    module, *rest = arguments
    status = Path(rest[rest.index("--status") + 1])
    executioner = Executioner(status.parent, status.stem)
    with patch.object(entry, "Effects", NotedEffects):
        return entry.main(rest, (sys.executable, "-m", module), executioner)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
