"""Memory of a job's processes while it runs: the most RSS, and the most PSS.

RSS counts libraries in each process that has them mapped, PSS divides them among those: PSS of all
processes together is what they take. The kernel keeps the most RSS; PSS is looked at now and then.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import psutil

from benchmarks.bench import Figure
from benchmarks.resident import megabytes
from chiron_stream.local.running import RunningJob

BETWEEN_LOOKS: Final = 2.0
"""Seconds. A look takes some milliseconds of CPU time for each process."""

START_SECONDS: Final = 30.0


def processes(job: RunningJob, broker: int) -> dict[str, int]:
    """Return the process ids of a job's couriers and cores, and of its broker, by name."""
    found = {"broker": broker}
    for name, service in job.services.items():
        if service.pid is None:
            raise RuntimeError(f"{name} has ended")
        role = name.partition("-")[0]
        found |= {f"{role}.courier": service.pid, f"{role}.core": _core_of(service.pid)}
    return found


def _core_of(courier: int) -> int:
    deadline = time.monotonic() + START_SECONDS
    while not (children := psutil.Process(courier).children()):
        if time.monotonic() > deadline:
            raise RuntimeError(f"the courier {courier} has no core")
        time.sleep(0.1)
    core: int = children[0].pid
    return core


class Memory:
    """Watches processes for the length of a block."""

    def __init__(self, pids: Mapping[str, int]) -> None:
        self._pids = pids
        self._most_pss = dict.fromkeys(pids, 0.0)
        self._most_rss = dict.fromkeys(pids, 0.0)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="memory", daemon=True)

    def figures(self, prefix: str) -> list[Figure]:
        """Return two rows a process, in MB."""
        return [
            Figure(f"{prefix}.{name}.{kind}", "MB", most[name])
            for name in self._pids
            for kind, most in (("rss", self._most_rss), ("pss", self._most_pss))
        ]

    def _watch(self) -> None:
        while not self._over.wait(BETWEEN_LOOKS):
            self._look()

    def _look(self) -> None:
        for name, pid in self._pids.items():
            pss = _said(pid, "smaps_rollup", "Pss")
            self._most_pss[name] = max(self._most_pss[name], pss)
            self._most_rss[name] = _said(pid, "status", "VmHWM")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()
        if error is None:
            self._look()


def _said(pid: int, file: str, field: str) -> float:
    return megabytes(Path(f"/proc/{pid}/{file}").read_text(), field)
