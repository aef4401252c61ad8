"""What one worker shows now: the counts that its core told, its health, as fields and as metrics.

Pure: times come in. Fields outside :data:`chiron_stream.telemetry.ALLOWED` are refused.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from chiron_stream.telemetry import ALLOWED, LOGGED, Plain, Shown, checked, word
from chiron_stream.wire import courier
from enclave_workers.courier.health import Verdict

WINDOW: Final = 60.0
"""Seconds that rounds a second are counted over."""

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
"""Of Prometheus' text format."""

_STATE: Final = ("role", "state", "waiting_for", "reason")


class Rate:
    """How fast a count has risen within a window, by when it was seen to."""

    def __init__(self, window: float = WINDOW) -> None:
        self._window = window
        self._seen: deque[tuple[float, int]] = deque()

    def saw(self, count: int, now: float) -> None:
        """Note a count."""
        if not self._seen or self._seen[-1][1] != count:
            self._seen.append((now, count))

    def value(self, now: float) -> float:
        """Return the rise a second; 0 within the first second."""
        start = now - self._window
        while len(self._seen) > 1 and self._seen[1][0] <= start:
            self._seen.popleft()
        if not self._seen or now - self._seen[0][0] < 1.0:
            return 0.0
        first, last = self._seen[0], self._seen[-1]
        return (last[1] - first[1]) / (now - max(first[0], start))


class Board:
    """What a worker shows.

    :param pid: of its courier.
    :param now: Unix seconds of its start.
    """

    def __init__(self, role: str, pid: int, now: float) -> None:
        self.role = role
        self._pid = pid
        self._started = now
        self._told = courier.Progress("starting")
        self._last = now
        self._rounds = Rate()
        self.metrics = ""
        """Where they are served."""
        self.lag: dict[str, int] = {}
        """Records that are to be read, by topic."""

    @property
    def busy(self) -> bool:
        """Whether the core has work that was given to it."""
        return self._told.busy or self._told.open_slots > 0

    def told(self, progress: courier.Progress, now: float) -> bool:
        """Take what the core says of itself; tell whether it is worth a line in the log."""
        before, self._told = self.logged(), progress
        self._last = now
        self._rounds.saw(progress.round, now)
        return self.logged() != before

    def logged(self) -> dict[str, Plain]:
        """Return the fields of the event ``worker.progress``."""
        words = self._words()
        found = {"role": self.role, **words, "waiting_for": words["waiting_for"] or "nothing"}
        return {one: found[one] if one in found else getattr(self._told, one) for one in LOGGED}

    def _words(self) -> dict[str, str]:
        return {name: word(name, getattr(self._told, name)) for name in ("state", "waiting_for")}

    def fields(self, verdict: Verdict, now: float) -> dict[str, Shown]:
        """Return all that this role shows.

        :param now: Unix seconds.
        """
        found: dict[str, Shown] = {
            "role": self.role,
            "pid": self._pid,
            "metrics": self.metrics,
            **self._words(),
            "health": verdict.health,
            "reason": verdict.reason,
            "healthy": not verdict.reason,
            "busy": self.busy,
            "started": round(self._started, 3),
            "last_progress": round(self._last, 3),
            "lag": dict(self.lag),
            "serves": self._told.release,
            "rounds_per_second": round(self._rounds.value(now), 3),
        }
        mine = (one.name for one in ALLOWED if self.role in one.roles)
        return checked(
            {one: found[one] if one in found else getattr(self._told, one) for one in mine}
        )


def exposition(fields: Mapping[str, Shown]) -> str:
    """Return fields in Prometheus' text format.

    :raises BugFound: a field may not be shown.
    """
    checked(fields)
    words = ",".join(f'{name}="{fields[name]}"' for name in _STATE)
    lines = list(_metric("chiron_worker_state", "What it is at.", [(f"{{{words}}}", 1)]))
    for one in ALLOWED:
        if one.metric and one.name in fields:
            lines += _metric(one.metric, one.help, _samples(fields[one.name]))
    return "\n".join(lines) + "\n"


def _metric(name: str, said: str, samples: Iterable[tuple[str, float]]) -> Iterator[str]:
    kind = "counter" if name.endswith("_total") else "gauge"
    yield f"# HELP {name} {said}"
    yield f"# TYPE {name} {kind}"
    for labels, value in samples:
        yield f"{name}{labels} {value}"


def _samples(value: Shown) -> list[tuple[str, float]]:
    """Return labels and value of each sample of a field that has a metric: a number or a table."""
    if isinstance(value, dict):
        return [(f'{{topic="{topic}"}}', count) for topic, count in sorted(value.items())]
    return [("", float(value) if isinstance(value, float) else int(value))]
