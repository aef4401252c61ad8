"""A real job whose workers die where they are ordered to, and a client that asks on meanwhile."""

from __future__ import annotations

import fcntl
import json
import logging
import signal
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import psutil

from chiron_stream import InsecureSimulation, QueryClient
from chiron_stream.clients.query import Answer
from chiron_stream.errors import ChironError
from chiron_stream.job.file import Job
from chiron_stream.local.directory import JobDirectory
from chiron_stream.local.running import RunningJob
from tests.crash import jobs
from tests.crash.orders import Death, Deaths, Order, Orders, Victim

LIMIT: Final = 60.0
"""Seconds until a death or a recovery is given up: far more than it takes."""

COORDINATOR, TRAINER, PREDICTOR = "coordinator-0", "trainer-0", "predictor-0"
WORKERS: Final = (COORDINATOR, TRAINER, PREDICTOR)
BETWEEN_QUESTIONS: Final = 0.05
REPORT: Final = Path(__file__).parents[2] / "build" / "crash.json"


class Stuck(AssertionError):
    """What had to happen did not happen in time."""


def wait_for(condition: Callable[[], bool], what: str, seconds: float = LIMIT) -> None:
    """Wait until ``condition`` holds.

    :raises Stuck: with ``what`` when it does not in time.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise Stuck(f"not within {seconds:g} s: {what}")
        time.sleep(0.01)  # between two looks at a condition with a deadline


@dataclass(frozen=True)
class Recovery:
    """How long it took from a death to the next committed round, or to the next answer."""

    role: str
    point: str
    victim: Victim
    topic: str
    seconds: float


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
    """

    def __init__(
        self, directory: JobDirectory, servers: str, core: str = "tests.crash.core"
    ) -> None:
        self.directory = directory
        courier = ("-m", "tests.crash.courier", core)
        self.running = RunningJob(directory, bootstrap_servers=servers, courier=courier)
        self.deaths = Deaths(directory.run)
        self.endings = Endings()
        self.recoveries: list[Recovery] = []
        self._orders = {worker: Orders(directory.run, worker) for worker in WORKERS}

    @property
    def job(self) -> Job:
        return self.directory.job()

    def __enter__(self) -> Self:
        logging.getLogger("chiron_stream").addHandler(self.endings)
        self.running.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.running.stop()
        logging.getLogger("chiron_stream").removeHandler(self.endings)

    def progress(self) -> dict[str, Any]:
        """Return what the coordinator last told, or an empty table."""
        path = self.directory.run / f"{COORDINATOR}.json"
        found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
        return found

    @property
    def version(self) -> int:
        """The newest committed version that the coordinator told of."""
        return int(self.progress().get("version", 0))

    def order(self, worker: str, *orders: Order) -> Callable[[], Sequence[Death]]:
        """Order deaths, one after the other; return what waits until they have happened."""
        before = len(self.deaths.all(worker))
        self._orders[worker].give(*orders)
        about = f"{worker}: " + ", then ".join(map(str, orders))

        def died() -> Sequence[Death]:
            wait_for(lambda: len(self.deaths.all(worker)) >= before + len(orders), about)
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
                assert (death.signal, code) == (signal.SIGKILL, 256 - signal.SIGKILL), death
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
        goal = self.version + 2
        if asker is None:
            wait_for(lambda: self.version >= goal, f"a round behind {last} of {worker}", limit)
        else:
            wait_for(lambda: asker.answered(death.at), f"an answer behind {last}", limit)
        self.recovered(worker, last, time.time() - death.at)

    def recovered(self, worker: str, order: Order, seconds: float) -> None:
        """Note a recovery, and show it."""
        role = worker.partition("-")[0]
        found = Recovery(role, order.point, order.victim, order.topic, round(seconds, 2))
        self.recoveries.append(found)
        print(
            f"{role}: {order}: going on after {seconds:.1f} s, version {self.version}", flush=True
        )

    def kill_both(self, trainer: Sequence[Order], predictor: Sequence[Order], asker: Asker) -> None:
        """Kill trainer and predictor at the same time.

        A trainer that goes on first is held back until the predictor does too, so that the job does
        not end before all of its deaths.
        """
        died = len(self.deaths.all(PREDICTOR)) + len(predictor)
        with ThreadPoolExecutor(2) as pool:
            other = pool.submit(self.kill, PREDICTOR, *predictor, asker=asker)
            pool.submit(self.kill, TRAINER, *trainer).result()
            wait_for(lambda: len(self.deaths.all(PREDICTOR)) >= died or other.done(), "its death")
            with self._orders[TRAINER].held_back():
                other.result()


def ended(death: Death) -> bool:
    """Tell whether the core of a death has ended; its number may be another's by now."""
    try:
        process = psutil.Process(death.core)
        other: bool = process.create_time() != death.born
        return other or bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


@dataclass(frozen=True)
class Asked:
    """A question by its row, when it was asked, and its answer."""

    row: int
    at: float
    answer: Answer


class Asker:
    """A client that asks one question after another, from a thread."""

    def __init__(self, job: Job, identity: Path) -> None:
        self._job = job
        self._identity = identity
        self._questions = jobs.questions()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="asker", daemon=True)
        self.asked: list[Asked] = []
        self.error: ChironError | None = None

    def _run(self) -> None:
        try:
            with QueryClient(self._job, self._identity, evidence=InsecureSimulation()) as client:
                while not self._stop.wait(BETWEEN_QUESTIONS):
                    row, at = len(self.asked) % jobs.ROWS, time.time()
                    answer = client.predict(self._questions[row], timeout=2 * LIMIT)
                    self.asked.append(Asked(row, at, answer))
        except ChironError as error:
            self.error = error

    def answered(self, since: float) -> bool:
        """Tell whether a question has its answer that was asked behind a moment.

        :raises Stuck: there will be no more.
        """
        if self.error is not None:
            raise Stuck(f"the client ended: {self.error}")
        asked = list(self.asked)
        return bool(asked) and asked[-1].at > since

    def ask_all(self, version: int) -> list[str]:
        """Return the answers of a version to every question, in order."""
        wait_for(lambda: len(self._of(version)) == jobs.ROWS, f"all answers of version {version}")
        found = self._of(version)
        return [found[row] for row in range(jobs.ROWS)]

    def _of(self, version: int) -> dict[int, str]:
        self.answered(0)
        asked = list(self.asked)
        return {one.row: one.answer.value for one in asked if one.answer.version == version}

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join(2 * LIMIT)


def report(recoveries: Sequence[Recovery]) -> None:
    """Write recoveries to :data:`REPORT`, in place of earlier ones of the same roles."""
    roles = {one.role for one in recoveries}
    REPORT.parent.mkdir(exist_ok=True)
    with REPORT.open("a+") as file:  # tests of another process write there too
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        text = file.read()
        kept = [row for row in json.loads(text or "[]") if row["role"] not in roles]
        rows = [*kept, *map(asdict, recoveries)]
        file.truncate(0)
        file.write("[\n" + ",\n".join(map(json.dumps, rows)) + "\n]\n")
