"""A file's way into a job, over as many runs of ``chiron publish`` as it takes.

A run goes on in slices: between two of them it is stopped, and what it has sent is read from the
log. So no moment is missed, however busy the machine is, and a run ends nowhere but at its moment.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import psutil

from chiron_stream.clients.identity import Identity
from chiron_stream.local.directory import create
from chiron_stream.local.running import RunningJob
from chiron_stream.recipe import Recipe
from tests.crash.publishers import LIMIT, Moment, Publisher
from tests.crash.senders import RECORDS_PER_SHARD, SHARDS, Sender, sender, terms
from tests.crash.waiting import wait_for
from tests.crash.watching import Log, Session
from tests.jobs import jobs
from tests.jobs.command import CHIRON

STARTING_SHARE: Final = 0.5
"""Of an undisturbed run's processor seconds: so long a run only loads its libraries."""


@dataclass(frozen=True)
class Killed:
    """A run that was killed: at which moment, its exit code, and its session if it had one."""

    moment: str
    code: int
    session: Session | None


class Publishing:
    """One sender's publication, over as many runs of the command as it takes."""

    def __init__(self, stage: Stage, sender: Sender, log: Log) -> None:
        self.stage = stage
        self.sender = sender
        self.log = log
        self._identity = Identity.load(stage.directory.identity(sender.name)).public
        self._known = 0
        self._runs = 0
        self.kills: list[Killed] = []

    def start(self, *words: str, command: Sequence[str] = (CHIRON,)) -> Publisher:
        """Start the command; everything that its predecessors sent has been seen then."""
        self.log.settle()
        self._known = len(self.sessions)
        self._runs += 1
        out = self.sender.file.with_suffix(f".{self._runs}.out")
        path = self.stage.directory.path
        return self.stage.kept(Publisher(path, self.sender, out, words, command))

    @property
    def sessions(self) -> list[Session]:
        """Every session of the sender so far, in order."""
        return self.log.sessions(self._identity)

    @property
    def session(self) -> Session | None:
        """The session of the newest run, once it stands on the log."""
        opened = self.sessions[self._known :]
        return opened[-1] if opened else None

    def announced(self, behind: Session | None = None) -> int:
        """Return how many shards were announced up to a session; default: to the newest."""
        known = self.sessions[: self.sessions.index(behind) + 1] if behind else self.sessions
        return min(SHARDS, sum(len(one.said) for one in known))

    def _has_come(self, moment: Moment, run: Publisher) -> bool:
        if moment.kind == "worked":
            return run.worked >= moment.share * self.stage.undisturbed
        if run.worked < STARTING_SHARE * self.stage.undisturbed:
            return False
        self.log.settle()
        session = self.session
        if session is None:
            return False
        before = sum(len(one.said) for one in self.sessions[: self._known])
        said, sent = len(session.said), session.records // RECORDS_PER_SHARD
        return {
            "open": True,
            "records": sent > 0 and before + sent >= moment.share * SHARDS,
            "announced": said > 0 and before + said >= moment.share * SHARDS,
            "all": before + said >= SHARDS,
            "fin": before + said > SHARDS,
        }[moment.kind]

    def reach(self, moment: Moment, run: Publisher) -> None:
        """Let a run go on until a moment has come, or until it ends; it is stopped then."""

        def reached() -> bool:
            if run.ended or self._has_come(moment, run):
                return True
            run.slice()
            return False

        wait_for(reached, f"{self.sender.name}: {moment}", LIMIT)

    def kill(self, moment: Moment) -> None:
        """Start the command and kill it at a moment."""
        run = self.start()
        with ExitStack() as stack:
            if moment.before_the_answer:
                self.reach(Moment("records"), run)
                stack.enter_context(self.stage.coordinator_stopped())
            self.reach(moment, run)
            self._note(str(moment), run.kill())

    def die(self, topic: str, number: int, when: str) -> None:
        """Start the command; it kills itself at a record."""
        step = topic, str(number), when
        run = self.start(command=(sys.executable, "-m", "tests.crash.dying", *step))
        code = run.end()
        self._note(" ".join(step), code)
        assert code == -signal.SIGKILL, run.shown

    def _note(self, moment: str, code: int) -> None:
        self.log.settle()
        self.kills.append(Killed(moment, code, self.session))
        sent = self.session.records if self.session else 0
        print(
            f"{self.sender.name}: killed at {moment}: {code}, {sent} records in its session, "
            f"{self.announced()} shards announced",
            flush=True,
        )

    def finish(self, *words: str, command: Sequence[str] = (CHIRON,)) -> str:
        """Run the command to its end; return what it printed."""
        run = self.start(*words, command=command)
        assert run.end() == 0, f"{self.sender.name}: {run.shown}"
        return run.shown


class Stage:
    """A job of real processes, and its senders; whatever happens, nothing outlives it."""

    def __init__(self, folder: Path, servers: str, names: Sequence[str], passes: int = 1) -> None:
        self.directory = create(folder / "job", terms(names, passes))
        self.passes = passes
        self.senders = {name: sender(name, folder) for name in names}
        workers = {"coordinator": 1, "trainer": 1}
        self._running = RunningJob(self.directory, bootstrap_servers=servers, workers=workers)
        self._open = ExitStack()
        self._stopping = threading.Lock()
        self.undisturbed = 0.0

    def __enter__(self) -> Self:
        self._open.enter_context(self._running)
        return self

    def __exit__(self, *_error: object) -> None:
        self._open.close()

    def provide(self, recipe: Recipe) -> None:
        """Publish the recipe, once the coordinator is there."""
        with jobs.Parties(self.directory) as parties:
            parties.provider().publish(recipe)

    def kept(self, run: Publisher) -> Publisher:
        """Kill a run at the end of the stage, if it should still be there."""
        self._open.callback(run.kill)
        return run

    def publishing(self, name: str) -> Publishing:
        """Begin the publication of a sender."""
        log = self._open.enter_context(Log(self.directory.job()))
        return Publishing(self, self.senders[name], log)

    def measure(self, name: str) -> None:
        """Let a sender publish undisturbed, and note how much of the processor that takes."""
        run = self.publishing(name).start()
        os.waitid(os.P_PID, run.process.pid, os.WEXITED | os.WNOWAIT)
        self.undisturbed = run.worked
        assert run.end() == 0, run.shown

    @contextmanager
    def coordinator_stopped(self) -> Iterator[None]:
        """Stop the coordinator for the length of a block: it answers nobody."""
        with self._stopping:
            courier = psutil.Process(self._running.services["coordinator-0"].pid)
            courier.suspend()
            try:
                yield
            finally:
                courier.resume()

    def finish(self) -> None:
        """Wait until the job has trained to its end."""
        jobs.reaches(self.directory, "finished", seconds=LIMIT)
