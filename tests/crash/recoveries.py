"""How long it takes until a job goes on, for ``build/crash.json``."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

REPORT: Final = Path(__file__).parents[2] / "build" / "crash.json"


@dataclass(frozen=True)
class Recovery:
    """How long it took from a death to the next committed round, or to the next answer.

    ``point`` says what went on then; ``topic`` what it was about.
    """

    role: str
    point: str
    victim: str
    topic: str
    seconds: float


def report(recoveries: Sequence[Recovery]) -> None:
    """Write recoveries to :data:`REPORT`, in place of earlier ones of the same roles."""
    roles = {one.role for one in recoveries}
    REPORT.parent.mkdir(exist_ok=True)
    with REPORT.open("a+") as file:  # tests of another process write there too
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        text = file.read()
        kept = [row for row in json.loads(text or "[]") if row["role"] not in roles]
        rows = [*kept, *map(asdict, recoveries)]
        file.truncate(0)
        file.write("[\n" + ",\n".join(map(json.dumps, rows)) + "\n]\n")
