"""``chiron logs``: what a job's processes on this machine wrote, and with ``--follow`` write."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from chiron_stream.cli.common import Context, context, parser
from chiron_stream.cli.main import NOUNS
from chiron_stream.local.directory import JobDirectory
from chiron_stream.local.logs import Line, Logs

LINES: Final = 100
"""Of each call, by default: the newest."""


def run(arguments: Sequence[str]) -> int:
    """Print the newest lines of a job's logs, by time; with ``--follow`` go on until Ctrl-C."""
    made = parser("logs", NOUNS["logs"])
    made.add_argument("directory", nargs="?", type=Path, default=Path(), help="of a job (.)")
    made.add_argument(
        "--worker", action="append", default=[], metavar="NAME", help="such as trainer-0; all"
    )
    made.add_argument("--lines", type=_count, default=LINES, metavar="N", help=f"newest ({LINES})")
    made.add_argument("--follow", "-f", action="store_true", help="and those that come")
    ready = context(made.parse_args(arguments))
    directory = JobDirectory(ready.flags.directory.resolve())
    directory.job()
    logs = Logs(directory.run, tuple(ready.flags.worker), ready.flags.lines)
    for line in logs.read():
        _print(ready, line)
    for line in logs.follow() if ready.flags.follow else ():
        _print(ready, line)
    return 0


def _print(ready: Context, line: Line) -> None:
    ready.output.data("log", line.to_json(), str(line))


def _count(text: str) -> int:
    count = int(text)
    if count < 0:
        raise argparse.ArgumentTypeError("0 or more")
    return count
