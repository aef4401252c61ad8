"""``python -m benchmarks``: run the benches, write their rows, print a table."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from benchmarks import report
from benchmarks.bench import Bench, Stage
from benchmarks.catalogue import all_benches, select
from chiron_stream.broker.kafka import KafkaBroker
from chiron_stream.broker.local import LocalKafka
from chiron_stream.errors import ChironError

OUTPUT: Final = Path("build/bench.json")
GOAL_MISSED: Final = 1
INTERRUPTED: Final = 130

EXTRA: Final = {"log.segment.delete.delay.ms": "1000"}
"""A deleted topic's disk space is free after a second, not after Kafka's minute."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line asks for; return the exit code."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        benches = select(all_benches(), options.only)
    except ValueError as error:
        parser.error(str(error))
    if options.list:
        _list(benches)
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    rows: list[report.Row] = []
    code = _run_into(rows, benches, quick=options.quick)
    if rows:
        report.write(rows, options.output)
        print(report.table(rows))
    if code:
        return code
    missed = any(row.met is False for row in rows)
    return GOAL_MISSED if missed and not options.quick else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Run benchmarks on a local Apache Kafka. Exit code 1: a goal was missed.",
    )
    parser.add_argument(
        "--only",
        metavar="NAME",
        action="append",
        default=[],
        help="run this bench, or all below it (seam, seam.produce); may be repeated",
    )
    parser.add_argument(
        "--quick", action="store_true", help="small sizes, as a smoke test; no goal is asserted"
    )
    parser.add_argument(
        "--output",
        metavar="FILE",
        type=Path,
        default=OUTPUT,
        help="where the rows go, as JSON (default: %(default)s)",
    )
    parser.add_argument("--list", action="store_true", help="list the benches and end")
    return parser


def _list(benches: Sequence[Bench]) -> None:
    width = max(len(bench.name) for bench in benches)
    for bench in benches:
        print(f"{bench.name:{width}}  {bench.about}")


def _run_into(rows: list[report.Row], benches: Sequence[Bench], *, quick: bool) -> int:
    """Run the benches; an error or Ctrl-C ends them, and what was measured before stands."""
    try:
        _run(rows, benches, quick=quick)
    except ChironError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0


def _run(rows: list[report.Row], benches: Sequence[Bench], *, quick: bool) -> None:
    """Run the benches on one Kafka, with a line of progress for each."""
    with (
        LocalKafka(extra=EXTRA, report=_progress) as kafka,
        KafkaBroker(kafka.bootstrap_servers) as broker,
    ):
        stage = Stage(kafka, broker, quick)
        for number, bench in enumerate(benches, 1):
            begin = time.monotonic()
            rows += report.run(bench, stage)
            seconds = time.monotonic() - begin
            _progress(f"{number}/{len(benches)} {bench.name}: {seconds:.1f} s")


def _progress(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
