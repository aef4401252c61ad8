"""``chiron status``: what a job's signed checkpoints say, and what its workers here say."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from chiron_stream.cli.common import Context, context, parser
from chiron_stream.cli.jobs import connection
from chiron_stream.cli.main import NOUNS
from chiron_stream.clients.observer import Observer, Seen
from chiron_stream.errors import UsageRefused
from chiron_stream.local.directory import JobDirectory

FRESH_SECONDS = 3600.0


def run(arguments: Sequence[str]) -> int:
    """Verify checkpoints and print how far the job is; 1 when it has no coordinator."""
    made = parser("status", NOUNS["status"])
    made.add_argument("directory", nargs="?", type=Path, default=Path(), help="of a job (.)")
    ready = context(made.parse_args(arguments))
    directory = JobDirectory(ready.flags.directory.resolve())
    job = directory.job()
    with Observer(job, **connection(ready, job)) as observer:
        seen = _look(observer)
    _show(ready, seen)
    for worker in _workers(directory):
        _show_worker(ready, worker)
    return 0 if seen.epoch else 1


def _look(observer: Observer) -> Seen:
    """Return what there is; of a job that has not been up at this broker, nothing."""
    try:
        return observer.look()
    except UsageRefused as error:
        if error.code != "UNKNOWN_TOPIC":
            raise
        policy = observer.job.policy
        return Seen(policy.name, policy.is_simulated, epoch=0, checkpoint=None, rejected=0)


def _show(ready: Context, seen: Seen) -> None:
    mark = "SIMULATED, " if seen.simulated else ""
    last = seen.checkpoint
    lines = [f"job {seen.name}: {mark}freshness: local"]
    fields: dict[str, Any] = {
        "job": seen.name,
        "simulated": seen.simulated,
        "freshness": "local",
        "epoch": seen.epoch,
        "rejected": seen.rejected,
    }
    if last is None:
        lines.append(f"epoch {seen.epoch}, no round yet")
    else:
        names = ("round", "version", "release", "accepted", "trained", "void", "parked", "finished")
        fields |= {name: getattr(last, name) for name in names}
        end = ", finished" if last.finished else ""
        lines.append(
            f"epoch {seen.epoch}, round {last.round}, version {last.version}, "
            f"release {last.release}{end}"
        )
        lines.append(
            f"shards: {last.accepted} accepted, {last.trained} trained, "
            f"{last.void} void, {last.parked} parked"
        )
    lines.append(f"rejected records: {seen.rejected}")
    ready.output.data("status", fields, "\n".join(lines))


def _workers(directory: JobDirectory) -> list[dict[str, Any]]:
    found = []
    for path in sorted(directory.run.glob("*-*.json")):
        table = json.loads(path.read_text())
        found.append({**table, "name": path.stem, "age": time.time() - path.stat().st_mtime})
    return found


def _show_worker(ready: Context, worker: dict[str, Any]) -> None:
    waiting = f", waits for {worker['waiting_for']}" if worker["waiting_for"] else ""
    sentence = f"{worker['name']}: {worker['state']}{waiting} (process {worker['pid']})"
    ready.output.data("worker", worker, sentence)
