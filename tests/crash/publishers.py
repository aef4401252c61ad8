"""``chiron publish FILE`` as a process that is killed, stopped and started again; its moments."""

from __future__ import annotations

import random
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import psutil

from tests.crash.senders import ROWS_PER_SHARD, Sender
from tests.jobs.command import clean_environment

Kind = Literal["worked", "open", "records", "announced", "all", "fin"]
SLICE_SECONDS: Final = 0.01
LIMIT: Final = 120.0
"""Seconds until a run or a job is given up: far more than it takes, on a busy machine too."""


@dataclass(frozen=True)
class Moment:
    """A moment in the life of one run of the command, as it shows from outside.

    :param kind: ``worked``: it has had so much of the processor; ``open``: its session stands on
        the log; ``records`` and ``announced``: it has sent records, announcements, and with them so
        much of the file is sent, announced; ``all``: everything is announced; ``fin``: and the fin.
    :param share: of an undisturbed run's processor seconds, or of the file.
    """

    kind: Kind
    share: float = 0.0

    def __str__(self) -> str:
        return f"{self.kind} {self.share:.2f}" if self.share else self.kind

    @property
    def before_the_answer(self) -> bool:
        """Whether nobody may acknowledge what the run has sent before the moment has come."""
        return self.kind in ("all", "fin")


def moments(dice: random.Random, last: Kind) -> list[Moment]:
    """Return when to kill: twice in a row very early, then all along the way, then at its end."""
    shares = dice.uniform(0.02, 0.4), dice.uniform(0.02, 0.4), dice.uniform(0.4, 0.8)
    kinds: list[Kind] = ["records", "announced", dice.choice(["records", "announced"])]
    dice.shuffle(kinds)
    places = sorted(dice.uniform(0.0, 0.5) for _ in kinds)
    middle = [Moment(kind, place) for kind, place in zip(kinds, places, strict=True)]
    middle.insert(dice.randint(0, len(middle)), Moment("open"))
    return [*(Moment("worked", share) for share in shares), *middle, Moment(last)]


class Publisher:
    """One run of the command.

    :param command: another way to start it.
    """

    def __init__(
        self, job: Path, sender: Sender, out: Path, words: Sequence[str], command: Sequence[str]
    ) -> None:
        self._out = out
        asked = ("publish", str(sender.file), "--as", sender.name, "--job", str(job))
        size = ("--rows-per-shard", str(ROWS_PER_SHARD))
        with out.open("wb") as file:
            self.process = subprocess.Popen(
                [*command, *asked, "--insecure-simulation", *size, *words],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env=clean_environment(),
            )
        self._seen = psutil.Process(self.process.pid)

    @property
    def worked(self) -> float:
        """Seconds of the processor that it has had."""
        times = self._seen.cpu_times()
        return float(times.user + times.system)

    @property
    def shown(self) -> str:
        """What it has printed."""
        return self._out.read_text()

    @property
    def ended(self) -> bool:
        """Whether it has ended."""
        return self.process.poll() is not None

    def kill(self) -> int:
        """Kill it and return its exit code: minus the signal, or what it ended with before."""
        self.process.kill()
        return self.process.wait()

    def stop(self) -> None:
        """Stop it where it is, until it goes on."""
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it go on."""
        self.process.send_signal(signal.SIGCONT)

    def end(self) -> int:
        """Wait for its own end and return its exit code."""
        return self.process.wait(LIMIT)

    def slice(self) -> None:
        """Let it go on for a moment, and stop it again."""
        self.go_on()
        time.sleep(SLICE_SECONDS)  # how far it comes is looked at, and is not what is waited for
        self.stop()
