"""A query client of a bench: asks as many queries as a line of its input says, one by one.

``python -m benchmarks.asker DIRECTORY sealed|identity``: each line in is a count; each line out a
JSON list of milliseconds.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from benchmarks import identity, jobs
from benchmarks.workloads import MLP
from chiron_stream.clients.query import QueryClient
from chiron_stream.local.directory import JobDirectory


def main(path: str, mode: str) -> None:
    """Serve counts until the input ends."""
    if mode == "identity":
        identity.switch_off()
    directory = JobDirectory(Path(path))
    row = {"x": MLP.rows(1, 0)["x"][0]}
    with QueryClient(
        directory.job(), directory.identity("carol"), evidence=jobs.SIMULATED
    ) as client:
        for line in sys.stdin:
            taken = []
            for _ in range(int(line)):
                began = time.perf_counter()
                client.predict(row)
                taken.append(1e3 * (time.perf_counter() - began))
            print(json.dumps(taken), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
