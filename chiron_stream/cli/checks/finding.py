"""A finding: what was looked at, how it is, and what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Final

from chiron_stream.errors import (
    BrokerUnreachable,
    ChironError,
    EvidenceRefused,
    NotAuthorized,
    PolicyRefused,
    TamperDetected,
    Timeout,
    UsageRefused,
)

GRAVEST: Final = tuple(
    kind.exit_code
    for kind in (
        *(TamperDetected, EvidenceRefused, PolicyRefused, NotAuthorized),
        *(BrokerUnreachable, Timeout, UsageRefused, ChironError),
    )
)
"""Exit codes, the gravest first: of several failures the first of these counts."""


class State(Enum):
    """How something is: a warning keeps nobody from going on."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True)
class Finding:
    """What one check found.

    :param said: a sentence without a full stop.
    :param hint: what to do; "" where nothing is to be done.
    :param code: of the error, where there was one.
    """

    name: str
    state: State
    said: str
    hint: str = ""
    code: str = ""
    exit_code: int = ChironError.exit_code

    def __str__(self) -> str:
        """Return the one line for people."""
        todo = f"; {self.hint}" if self.hint else ""
        return f"{self.state.value:<5}{self.name:<13}{self.said}{todo}"


def ok(name: str, said: str) -> Finding:
    """Return the finding of something that is well."""
    return Finding(name, State.OK, said)


def warn(name: str, said: str, hint: str = "") -> Finding:
    """Return the finding of something that may matter."""
    return Finding(name, State.WARN, said, hint)


def failed(name: str, error: ChironError) -> Finding:
    """Return the finding of something that raised."""
    hint = error.hint or ""
    return Finding(name, State.FAIL, str(error), hint, error.code, error.exit_code)


def tried(name: str, check: Callable[[], Finding]) -> Finding:
    """Return what a check finds, or that it failed and why."""
    try:
        return check()
    except ChironError as error:
        return failed(name, error)


def exit_code(findings: Iterable[Finding]) -> int:
    """Return 0, or the exit code of the gravest failure."""
    codes = {one.exit_code for one in findings if one.state is State.FAIL}
    return min(codes, key=_rank, default=0)


def _rank(code: int) -> int:
    return GRAVEST.index(code) if code in GRAVEST else len(GRAVEST)
