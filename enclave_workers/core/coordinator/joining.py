"""Workers: joins, Welcomes, losses, and what they report."""

from __future__ import annotations

from chiron_stream.attestation.akd import AttestedKeyDocument, akd_hash
from chiron_stream.errors import TamperDetected
from chiron_stream.wire.workers import (
    Evaluated,
    GrantRequest,
    Leaving,
    Ready,
    Report,
    ReportRecord,
    Scope,
    open_report,
)
from enclave_workers.core.coordinator import evaluating, rounds, serving
from enclave_workers.core.coordinator.effects import Effect, WelcomeTo
from enclave_workers.core.coordinator.events import Joined, Lost, Reported, Welcomed
from enclave_workers.core.coordinator.state import At, Context, State, Worker


def scope(context: Context, epoch: int, boot: bytes) -> Scope:
    """Return what a message to or from this boot is about."""
    return Scope(context.job, context.head, epoch, boot)


def joined(_context: Context, state: State, event: Joined, _at: At) -> list[Effect]:
    """Take in an appraised boot; one that joined before is left as it is."""
    document = AttestedKeyDocument.unpack(event.akd)
    if document.boot in state.workers:
        return []
    state.workers[document.boot] = Worker(
        role=document.role,
        akd=akd_hash(event.akd),
        hpke_key=document.hpke_key,
        signing_key=document.signing_key,
        expires=document.not_after,
        secrets={state.epoch: event.secret},
    )
    return [_welcome(state, document.boot)]


def welcomed(_context: Context, state: State, event: Welcomed, _at: At) -> list[Effect]:
    """Give a boot that joined in an earlier epoch, or was lost, its secret of this epoch."""
    worker = state.workers[event.boot]
    worker.secrets[state.epoch] = event.secret
    worker.lost = worker.quarantined or worker.left
    worker.served = 0  # the successor tells a predictor again what to serve
    return [_welcome(state, event.boot)]


def _welcome(state: State, boot: bytes) -> WelcomeTo:
    worker = state.workers[boot]
    return WelcomeTo(boot, worker.akd, worker.hpke_key, worker.secrets[state.epoch])


def lost(context: Context, state: State, event: Lost, _at: At) -> list[Effect]:
    """Take a boot's leases away; its late results still count while their slots are open."""
    state.lose(event.boot)
    return rounds.park_failing(context, state) + evaluating.park_failing(context, state)


def _leave(state: State, boot: bytes) -> list[Effect]:
    """Let a boot go that was asked to end: its slot is leased again at once, as no failure."""
    worker = state.workers[boot]
    worker.left = worker.lost = True
    state.release_leases(boot, failed=False)
    return []


def read_reported(context: Context, state: State, data: bytes) -> tuple[bytes, int, Report]:
    """Return boot, number and content of a worker's report.

    :raises TamperDetected: the code says why not: UNKNOWN_BOOT, REPEAT, SIGNATURE, DOES_NOT_OPEN.
    """
    record = ReportRecord.unpack(data)
    worker = state.workers.get(record.boot)
    if worker is None or record.epoch not in worker.secrets:
        raise TamperDetected("a report of no boot that joined", code="UNKNOWN_BOOT")
    if record.number < worker.reports:
        raise TamperDetected("a report that was taken before", code="REPEAT")
    about = scope(context, record.epoch, record.boot)
    report = open_report(worker.secrets[record.epoch], worker.signing_key, about, record)
    return record.boot, record.number, report


def reported(context: Context, state: State, event: Reported, at: At) -> list[Effect]:
    """Take one report."""
    boot, number, report = read_reported(context, state, event.record)
    worker = state.workers[boot]
    worker.reports = number + 1
    if isinstance(report, GrantRequest):
        return serving.grant(context, state, boot, report, at)
    if isinstance(report, Ready):
        worker.numerics = report.numerics
        return []
    if isinstance(report, Leaving):
        return _leave(state, boot)
    if isinstance(report, Evaluated):
        return evaluating.evaluated(context, state, boot, report)
    return rounds.slot_result(context, state, boot, report)
