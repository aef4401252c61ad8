"""Timers, by the shell's clock: what ``step`` learns of time, it learns by their events.

A successor starts them anew: what it finds waiting, it counts from its own start.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from enclave_workers.core.coordinator.events import Retried, Waited
from enclave_workers.core.coordinator.leasing import backoff
from enclave_workers.core.coordinator.state import Leased, State
from enclave_workers.core.coordinator.windows import oldest


class Timers:
    """Says when shards have waited long enough, and when a slot may be leased again.

    :param max_wait: seconds that a shard of an open job waits for its window to fill.
    """

    def __init__(self, max_wait: int) -> None:
        self._max_wait = max_wait
        self._arrivals: deque[tuple[int, float]] = deque()
        self._held: dict[tuple[bytes, int], float] = {}

    def due(self, state: State, now: float) -> Iterator[Waited | Retried]:
        """Yield what is due."""
        yield from self._waited(state, now)
        yield from self._retried(state, now)

    def _waited(self, state: State, now: float) -> Iterator[Waited]:
        seen = self._arrivals[-1][0] if self._arrivals else state.due
        if state.arrivals > seen:
            self._arrivals.append((state.arrivals, now))
        reached = 0
        while self._arrivals and now - self._arrivals[0][1] >= self._max_wait:
            reached = self._arrivals.popleft()[0]
        if reached > state.due and 0 < oldest(state) <= reached:
            yield Waited(reached)

    def _retried(self, state: State, now: float) -> Iterator[Retried]:
        held = {_name(one): one for one in state.leases() if one.held}
        self._held = {name: self._held.get(name, now) for name in held}
        for name, one in held.items():
            if now - self._held[name] >= backoff(one.failures):
                yield Retried(one.task)


def _name(one: Leased) -> tuple[bytes, int]:
    return one.task, one.failures
