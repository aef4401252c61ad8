"""A real job whose workers die, or stand still, where they are ordered to."""

from __future__ import annotations

import json
import logging
import signal
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from types import TracebackType
from typing import Any, Final, Self

import psutil

from chiron_stream.job.file import Job
from chiron_stream.local.directory import JobDirectory
from chiron_stream.local.running import RunningJob
from tests.crash.asking import Asker
from tests.crash.orders import Death, Deaths, Order, Orders
from tests.crash.pace import STEP, Pace
from tests.crash.recoveries import Recovery
from tests.crash.waiting import LIMIT, wait_for

COORDINATOR, TRAINER, PREDICTOR = "coordinator-0", "trainer-0", "predictor-0"

AT_FIRST: Final = 4
"""Rounds that a job makes before anything is done to it."""

MORE_SECONDS: Final = 3.0
"""Until more rounds are let be made for what has not happened in those before."""


class Endings(logging.Handler):
    """The exit codes of every service, as the one that starts them again saw them."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.codes: dict[str, list[int]] = defaultdict(list)

    def emit(self, record: logging.LogRecord) -> None:
        if record.msg == "service.ended":
            fields: dict[str, Any] = vars(record)["chiron_fields"]
            self.codes[fields["service"]].append(fields["exit_code"])


class CrashedJob:
    """A job whose workers obey orders, as long as this object is open.

    :param core: the module that the workers' cores run.
    :param trainers: how many.
    """

    def __init__(
        self,
        directory: JobDirectory,
        servers: str,
        core: str = "tests.crash.core",
        trainers: int = 1,
    ) -> None:
        self.directory = directory
        self.running = RunningJob(
            directory,
            bootstrap_servers=servers,
            workers={"coordinator": 1, "trainer": trainers, "predictor": 1},
            courier=("-m", "tests.crash.courier", core),
        )
        self.trainers = [f"trainer-{number}" for number in range(trainers)]
        self.coordinator = COORDINATOR
        self.deaths = Deaths(directory.run)
        self.stops = Deaths(directory.run, "stops")
        self.endings = Endings()
        self.pace = Pace(directory.run)
        self.recoveries: list[Recovery] = []

    @property
    def job(self) -> Job:
        return self.directory.job()

    def __enter__(self) -> Self:
        logging.getLogger("chiron_stream").addHandler(self.endings)
        self.directory.run.mkdir(exist_ok=True)
        self.pace.allow(AT_FIRST)
        self.running.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for worker in self.running.services:
            self.go_on(worker)
        self.running.stop()
        logging.getLogger("chiron_stream").removeHandler(self.endings)

    def progress(self, worker: str = "") -> dict[str, Any]:
        """Return what a worker last told, the coordinator by default, or an empty table."""
        path = self.directory.run / f"{worker or self.coordinator}.json"
        found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
        return found

    def ready(self, worker: str) -> bool:
        """Tell whether the present boot of a trainer or predictor is welcome."""
        told = self.progress(worker)
        return told.get("pid") == self.running.services[worker].pid and told["state"] == "ready"

    @property
    def members(self) -> int:
        """Trainers and predictors that the coordinator takes for alive."""
        told = self.progress()
        return int(told.get("trainers", 0)) + int(told.get("predictors", 0))

    @property
    def version(self) -> int:
        """The newest committed version that any coordinator told of."""
        return self.pace.version

    @property
    def finished(self) -> bool:
        """Whether the coordinator told of the end."""
        return self.progress().get("state") == "finished"

    def goes_on(self, what: str, limit: float = LIMIT) -> None:
        """Wait until rounds are committed that began from now on.

        A coordinator may have committed one that it has not told of, so it is the second one behind
        what it tells from now on: an older word may be of many rounds ago.
        """
        now = time.time()
        wait_for(lambda: self._told_since(now), f"word of the coordinator behind {what}", limit)
        goal = self.version + 2
        self.until(lambda: self.version >= goal, f"a round behind {what}", limit)

    def until(self, condition: Callable[[], bool], what: str, limit: float = LIMIT) -> None:
        """Wait until a condition holds; let rounds be made for it, and more now and then."""
        due = 0.0

        def look() -> bool:
            nonlocal due
            found = condition()
            if not found and time.monotonic() >= due:
                self.pace.allow(STEP)
                due = time.monotonic() + MORE_SECONDS
            return found

        wait_for(look, what, limit)

    def _told_since(self, moment: float) -> bool:
        path = self.directory.run / f"{self.coordinator}.json"
        fresh = path.exists() and path.stat().st_mtime > moment
        return fresh and self.progress().get("state") != "starting"

    def orders(self, worker: str) -> Orders:
        """Return the orders of a worker."""
        return Orders(self.directory.run, worker)

    def order(self, worker: str, *orders: Order) -> Callable[[], Sequence[Death]]:
        """Order deaths, one after the other; return what waits until they have happened."""
        before = len(self.deaths.all(worker))
        self.orders(worker).give(*orders)
        about = f"{worker}: " + ", then ".join(map(str, orders))

        def died() -> Sequence[Death]:
            self.until(lambda: len(self.deaths.all(worker)) >= before + len(orders), about)
            deaths = self.deaths.all(worker)[before:]
            found = [(death.point, death.victim) for death in deaths]
            assert found == [(one.point, one.victim) for one in orders]
            self._check_endings(worker, before, deaths)
            return deaths

        return died

    def _check_endings(self, worker: str, before: int, deaths: Sequence[Death]) -> None:
        """See that each death was by SIGKILL, and that the other half of the worker ended too."""
        codes = self.endings.codes[worker]
        wait_for(lambda: len(codes) >= before + len(deaths), f"{worker} has ended")
        for death, code in zip(deaths, codes[before:], strict=True):
            if death.victim == "courier":
                assert code == -signal.SIGKILL, death
            else:
                assert code == 256 - signal.SIGKILL, death
            wait_for(lambda one=death: ended(one), f"the core of {death} has ended")  # type: ignore[misc]

    def kill(
        self, worker: str, *orders: Order, asker: Asker | None = None, limit: float = LIMIT
    ) -> None:
        """Order deaths, wait for them, and see that the job goes on behind the last one.

        A coordinator may die behind a commit that it has not told of, and a trainer's last report
        be on its way: so the second version from there on is the sign of recovery.

        :raises Stuck: no death, or no recovery.
        """
        death = self.order(worker, *orders)()[-1]
        last = orders[-1]
        if asker is None:
            self.goes_on(f"{last} of {worker}", limit)
        else:
            wait_for(lambda: asker.answered(death.at), f"an answer behind {last}", limit)
        self.recovered(worker, last, time.time() - death.at)

    def recovered(self, worker: str, order: Order, seconds: float) -> None:
        """Note a recovery, and show it."""
        role = worker.partition("-")[0]
        found = Recovery(role, order.point, order.victim, order.topic, round(seconds, 2))
        self.recoveries.append(found)
        print(
            f"{worker}: {order}: going on after {seconds:.1f} s, version {self.version}", flush=True
        )

    def kill_both(
        self, worker: str, trainer: Sequence[Order], predictor: Sequence[Order], asker: Asker
    ) -> None:
        """Kill a trainer and the predictor at the same time.

        When the job goes on, the other trainers are held back until both are back, so that the job
        does not end before all of its deaths.
        """
        died = len(self.deaths.all(PREDICTOR)) + len(predictor)
        others = [one for one in self.trainers if one != worker]
        with ThreadPoolExecutor(2) as pool:
            other = pool.submit(self.kill, PREDICTOR, *predictor, asker=asker)
            pool.submit(self.kill, worker, *trainer).result()
            wait_for(lambda: len(self.deaths.all(PREDICTOR)) >= died or other.done(), "its death")
            with self.held_back(*others):
                wait_for(lambda: self.ready(worker), f"{worker} is back")
                with self.held_back(worker):
                    other.result()

    def stop(self, worker: str, order: Order | None = None) -> None:
        """Let a worker stand still, both processes; at once, or where it is ordered to."""
        if order is None:
            send(self.processes(worker), signal.SIGSTOP)
        else:
            before = len(self.stops.all(worker))
            self.orders(worker).give(order)
            self.until(lambda: len(self.stops.all(worker)) > before, f"{worker}: {order}")
        wait_for(lambda: all(map(_stopped, self.processes(worker))), f"{worker} stands still")

    def go_on(self, worker: str) -> None:
        """Let a worker that stands still go on; one that does not is left as it is."""
        send(self.processes(worker), signal.SIGCONT)

    @contextmanager
    def held_back(self, *workers: str) -> Iterator[None]:
        """Let workers hear nothing for the length of a block: the job gets no further."""
        with ExitStack() as held:
            for one in workers:
                held.enter_context(self.orders(one).held_back())
            yield

    def succeed(self) -> None:
        """Start another coordinator beside the one that there is, and take it for the job's."""
        number = sum(one.startswith("coordinator") for one in self.running.services)
        self.running.start_worker("coordinator", number)
        self.coordinator = f"coordinator-{number}"
        wait_for(lambda: bool(self.progress()), f"{self.coordinator} is there")

    def processes(self, worker: str) -> list[psutil.Process]:
        """Return the courier and the core of a worker that runs."""
        pid = self.running.services[worker].pid
        try:
            courier = psutil.Process(pid) if pid is not None else None
            return [courier, *courier.children()] if courier is not None else []
        except psutil.NoSuchProcess:
            return []


def send(processes: Sequence[psutil.Process], number: int) -> None:
    """Send a signal to processes; those that ended meanwhile need none."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(number)


def _stopped(process: psutil.Process) -> bool:
    return bool(process.status() == psutil.STATUS_STOPPED)


def ended(death: Death) -> bool:
    """Tell whether the core of a death has ended; its number may be another's by now."""
    try:
        process = psutil.Process(death.core)
        other: bool = process.create_time() != death.born
        return other or bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True
