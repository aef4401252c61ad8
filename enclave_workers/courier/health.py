"""When a worker is red, and when it ends: a function of the signs that its courier saw.

What counts is work, not life: a core whose heart beats while its work stands still is red. A worker
that waits for something is green however long it waits, for it goes on asking.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from chiron_stream import timeouts
from chiron_stream.telemetry import GREEN, RED
from chiron_stream.wire import courier

SHORTEST: Final = 10.0
"""Seconds: a policy's step deadline below makes no worker red sooner."""

ENDS: Final = 2
"""Deadlines without a sign of work, after which a worker ends."""

_HEART: Final = "presence"


@dataclass
class Signs:
    """What was seen last, in monotonic seconds.

    :param work: a sign of work of the core.
    :param broker: an answer of the broker.
    :param reading: a time when all was read, or something was.
    :param told: whether the core has told of itself; before, it is starting.
    :param busy: whether it has work that was given to it.
    """

    work: float
    broker: float
    reading: float
    told: bool = False
    busy: bool = False

    def forgive(self, seconds: float) -> None:
        """Count time in which nobody looked for nothing: the courier itself stood still."""
        self.work += seconds
        self.broker += seconds
        self.reading += seconds


@dataclass(frozen=True)
class Verdict:
    """Why a worker is red, empty if it is green, and whether it has to end.

    :param seconds: how long there was no sign.
    """

    reason: str = ""
    seconds: float = 0.0
    ends: bool = False

    @property
    def health(self) -> str:
        """The light."""
        return RED if self.reason else GREEN


def deadline_of(role: str, step_deadline: int) -> float:
    """Return the seconds without a sign of work after which a worker of a role is red.

    :param step_deadline: of the job's policy, in seconds.
    """
    return max(float(step_deadline), SHORTEST) if role == "trainer" else timeouts.STALL


def is_work(request: courier.Request) -> bool:
    """Tell whether a core asks for something because it works; its heart beats without."""
    if not isinstance(request, courier.Append):
        return True
    return any(record.topic != _HEART for record in request.records)


def judge(signs: Signs, deadline: float, now: float) -> Verdict:
    """Return what the signs say at a time.

    :param deadline: seconds without a sign of work; a core that is starting, which loads its
        libraries and replays a journal, has :data:`~chiron_stream.timeouts.STALL` at least.
    """
    allowed = deadline if signs.told else max(deadline, timeouts.STALL)
    idle = now - signs.work
    if idle > allowed:
        reason = "no-progress" if signs.busy else "silent"
        return Verdict(reason, idle, ends=idle > ENDS * allowed)
    if now - signs.broker > timeouts.BROKER_SILENT:
        return Verdict("broker", now - signs.broker)
    if not signs.busy and now - signs.reading > timeouts.STALL:
        return Verdict("behind", now - signs.reading)
    return Verdict()
