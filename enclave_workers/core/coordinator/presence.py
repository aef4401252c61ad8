"""Who is alive, by the shell's clock: heartbeats are not journalled, only ``Lost`` is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from chiron_stream.errors import TamperDetected
from chiron_stream.wire.workers import PresenceRecord, open_presence
from enclave_workers.core.coordinator.events import Lost
from enclave_workers.core.coordinator.joining import scope
from enclave_workers.core.coordinator.state import Context, State

LOST_AFTER: Final = 6.0
"""Seconds without a heartbeat after which a boot is lost (``docs/operating.md``)."""

_NO_TASK: Final = bytes(32)


@dataclass
class _Sign:
    """The last sign of one boot: when, which heartbeat, and since when its work stands still.

    ``lease`` is the task that it was leased when last looked at.
    """

    seen: float
    number: int
    work: tuple[bytes, int]
    since: float
    lease: bytes = _NO_TASK


class Presence:
    """Follows heartbeats and says who is lost.

    :param step_deadline: seconds that assigned work may stand still.
    """

    def __init__(self, step_deadline: float) -> None:
        self._deadline = step_deadline
        self._signs: dict[bytes, _Sign] = {}

    def heard(self, context: Context, state: State, data: bytes, now: float) -> bytes | None:
        """Take a heartbeat; return its boot if that was lost and may be welcomed again.

        A lost boot whose heart still beats keeps what it was working on until it is idle: it may
        have stood still for a broker that paused, and a job must outlive that.

        One of a later epoch is for a successor, whom this coordinator is about to meet.

        :raises TamperDetected: of no live boot, replayed, or it does not open.
        """
        record = PresenceRecord.unpack(data)
        if record.epoch > state.epoch:
            return None
        worker = state.workers.get(record.boot)
        if worker is None or record.epoch not in worker.secrets:
            raise TamperDetected("a heartbeat of no boot that joined", code="UNKNOWN_BOOT")
        about = scope(context, record.epoch, record.boot)
        beat = open_presence(worker.secrets[record.epoch], about, record)
        sign = self._signs.setdefault(record.boot, _Sign(now, -1, (_NO_TASK, 0), now))
        if record.number <= sign.number:
            raise TamperDetected("a heartbeat heard before", code="REPEAT")
        sign.seen, sign.number = now, record.number
        if sign.work != (beat.task, beat.step):
            sign.work, sign.since = (beat.task, beat.step), now
        gone = worker.quarantined or worker.left
        if not worker.lost or gone or beat.task != _NO_TASK:
            return None
        sign.lease = _NO_TASK  # what it held before is no measure of what it gets
        return record.boot

    def lost(self, state: State, now: float) -> Iterator[Lost]:
        """Yield the boots whose keys are too old, or that gave no sign of life, or of progress."""
        leases = {one.boot: one.task for one in state.leases()}
        for role in ("trainer", "predictor"):
            for boot in state.live(role):
                sign = self._signs.setdefault(boot, _Sign(now, -1, (_NO_TASK, 0), now))
                lease = leases.get(boot, _NO_TASK)
                if lease == _NO_TASK or lease != sign.lease:
                    sign.lease, sign.since = lease, now
                if now >= state.workers[boot].expires:
                    yield Lost(boot, "expired")
                elif now - sign.seen > LOST_AFTER:
                    yield Lost(boot, "silent")
                elif now - sign.since > self._deadline:
                    yield Lost(boot, "no-progress")
