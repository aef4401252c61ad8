"""Resident memory of a process; as a program, its own: alone, or holding a reader.

``python -m benchmarks.resident [ENDPOINT TOPIC]`` prints MB (of 10^6 bytes). Without arguments it
imports nothing beyond what starts it, for a baseline.
"""

import sys


def megabytes(status: str, field: str = "VmRSS") -> float:
    """Return what a field of a ``/proc/PID/status`` or ``smaps_rollup`` says, by its text."""
    line = next(line for line in status.splitlines() if line.startswith(f"{field}:"))
    return int(line.split()[1]) * 1024 / 1e6


def of_this_process() -> float:
    """Return the resident memory of this process."""
    with open("/proc/self/status") as status:  # noqa: PTH123  (pathlib is not to be counted)
        return megabytes(status.read())


def holding_reader(endpoint: str, topic: str) -> float:
    """Return the resident memory while connected, with one reader that has polled."""
    from chiron_stream.broker.kafka import KafkaBroker
    from chiron_stream.broker.records import Partition

    partition = Partition(topic, 0)
    with KafkaBroker(endpoint) as broker, broker.reader({partition: 0}) as reader:
        reader.poll(0.1)
        return of_this_process()


if __name__ == "__main__":
    print(holding_reader(*sys.argv[1:]) if sys.argv[1:] else of_this_process())
