"""``python -m benchmarks.recovery``: how long recovery took in the crash tests, as a table.

``tests/crash`` kills workers and writes down when their job went on: behind a coordinator or a
trainer the second version, behind a predictor the next answer. Time-outs are part of it: a silent
worker counts as lost after 6 s. For each role, and for each of its crash points: kills, and the
median and the most of the seconds.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from enclave_workers.courier.effects import POINTS

RECOVERIES: Final = Path("build/crash.json")
HEADINGS: Final = ("name", "kills", "median s", "most s")


def table(recoveries: Iterable[Mapping[str, Any]]) -> str:
    """Return a line for each role, and for each point of it."""
    seconds: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
    for one in recoveries:
        for point in ("", one["point"]):
            seconds[one["role"], point].append(one["seconds"])
    lines = [HEADINGS, *(_line(*key, seconds[key]) for key in sorted(seconds, key=_order))]
    width = max(len(line[0]) for line in lines)
    return "\n".join(
        "  ".join([name.ljust(width), *(one.rjust(8) for one in numbers)])
        for name, *numbers in lines
    )


def _order(key: tuple[str, str]) -> tuple[str, int, str]:
    role, point = key
    return role, ("", *POINTS).index(point) if point in POINTS else -1, point


def _line(role: str, point: str, seconds: list[float]) -> tuple[str, ...]:
    name = ".".join(["recovery", role, *([point] if point else [])])
    numbers = statistics.median(seconds), max(seconds)
    return name, str(len(seconds)), *(f"{one:.1f}" for one in numbers)


def main(path: Path = RECOVERIES) -> int:
    """Print the table, or what to run for it; return the exit code."""
    if not path.exists():
        print(f"recovery.*: there is no {path}; make faults writes it", file=sys.stderr)
        return 0
    written = time.strftime("%Y-%m-%d %H:%M", time.localtime(path.stat().st_mtime))
    print(f"{path}, written {written}")
    print(table(json.loads(path.read_text())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
