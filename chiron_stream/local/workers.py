"""What the workers of a job on this machine last said of themselves, in their status files."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from chiron_stream.telemetry import RED

OLD_SECONDS: Final = 10.0
"""A status file that was not replaced for so long: its courier stands still, or has ended."""


def workers(run: Path, now: float | None = None) -> Iterator[dict[str, Any]]:
    """Yield each worker's fields (:mod:`chiron_stream.telemetry`), its ``name`` and two ages.

    ``age`` is of the status file, ``progress_age`` of what the core last told, in seconds.

    :param run: the job's directory of running processes.
    :param now: Unix seconds, for tests.
    """
    at = time.time() if now is None else now
    for path in sorted(run.glob("*-*.json")):
        with suppress(FileNotFoundError):  # its job has just been stopped
            table = json.loads(path.read_text())
            age = round(at - path.stat().st_mtime, 1)
            if age > OLD_SECONDS:
                table |= {"health": RED, "healthy": False, "reason": "no-status"}
            progress_age = round(at - table["last_progress"], 1)
            yield {**table, "name": path.stem, "age": age, "progress_age": progress_age}


def sentence(worker: dict[str, Any]) -> str:
    """Return a worker's line for people, without its ages and rates."""
    reason = f" ({worker['reason']})" if worker["reason"] else ""
    parts = [f"{worker['health']}{reason}", worker["state"]]
    if worker["waiting_for"]:
        parts.append(f"waits for {worker['waiting_for']}")
    if worker["busy"] and worker["role"] != "coordinator":
        parts.append("busy")
    for name, said in (
        ("open_slots", "{} open slots"),
        ("waiting", "{} shards waiting"),
        ("quarantined", "{} trainers quarantined"),
        ("serves", "serves release {}"),
    ):
        if worker.get(name):
            parts.append(said.format(worker[name]))
    return f"{worker['name']}: {', '.join(parts)}"


def ages(worker: dict[str, Any]) -> str:
    """Return what changes with each look: rate or tasks, age of the last progress, process."""
    rate, tasks = worker.get("rounds_per_second", 0), worker.get("tasks", 0)
    counts = f", {rate:.1f} rounds a second" if rate else f", {tasks} tasks" if tasks else ""
    progress = f", progress {max(0.0, worker['progress_age']):.0f} s ago"
    return f"{counts}{progress} (process {worker['pid']})"
