"""What a piece of work took of the process that it is done in: seconds, and memory."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.resident import megabytes


def told(work: Callable[[], object]) -> dict[str, float]:
    """Do some work; return its ``seconds``, and ``peak`` and ``grown`` in MB.

    ``peak`` is the most RSS that this process ever had, by the kernel's count; ``grown`` is how
    much that is above what it had when the work began.
    """
    rest = _own("VmRSS")
    began = time.perf_counter()
    work()
    seconds = time.perf_counter() - began
    peak = _own("VmHWM")
    return {"seconds": seconds, "peak": peak, "grown": peak - rest}


def _own(field: str) -> float:
    return megabytes(Path("/proc/self/status").read_text(), field)
