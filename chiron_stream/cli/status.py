"""``chiron status``: what a job's signed checkpoints say, and what its workers here say."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from chiron_stream.cli.common import Context, context, parser
from chiron_stream.cli.jobs import connection
from chiron_stream.cli.main import NOUNS
from chiron_stream.clients.observer import Observer, Seen
from chiron_stream.errors import UsageRefused
from chiron_stream.local.directory import JobDirectory
from chiron_stream.local.workers import ages, sentence, workers

WATCH_SECONDS: Final = 1.0
"""Between two looks."""

CLEAR: Final = "\x1b[H\x1b[2J"
"""What a terminal takes for: begin again at the top."""

CHANGING: Final = frozenset({"age", "progress_age", "last_progress", "rounds_per_second", "lag"})
"""Fields that alone make no new line with ``--watch``."""


@dataclass(frozen=True)
class _Line:
    """One line: ``always`` is what changes with each look."""

    kind: str
    fields: dict[str, Any]
    said: str
    always: str = ""

    def news(self, *, as_json: bool) -> object:
        """Return what has to change before the line is worth printing again."""
        steady = {name: one for name, one in self.fields.items() if name not in CHANGING}
        return steady if as_json else self.said


@dataclass(frozen=True)
class _Look:
    """What one look found."""

    lines: list[_Line]
    finished: bool
    exit_code: int


def run(arguments: Sequence[str]) -> int:
    """Verify checkpoints and print how far the job is.

    1 when it has no coordinator, or a worker here is red.
    """
    made = parser("status", NOUNS["status"])
    made.add_argument("directory", nargs="?", type=Path, default=Path(), help="of a job (.)")
    made.add_argument(
        "--watch", action="store_true", help="look each second until the job is finished, or Ctrl-C"
    )
    ready = context(made.parse_args(arguments))
    directory = JobDirectory(ready.flags.directory.resolve())
    job = directory.job()
    with Observer(job, **connection(ready, job)) as observer:
        if ready.flags.watch:
            return _watch(ready, observer, directory)
        look = _look(observer, directory)
    for line in look.lines:
        ready.output.data(line.kind, line.fields, line.said + line.always)
    return look.exit_code


def _watch(ready: Context, observer: Observer, directory: JobDirectory) -> int:
    """Print what is new each second; on a terminal, all of it in the same place."""
    paints = sys.stdout.isatty() and not ready.flags.json
    said: dict[str, object] = {}
    while True:
        look = _look(observer, directory)
        if paints:
            whole = "".join(f"{line.said}{line.always}\n" for line in look.lines)
            sys.stdout.write(CLEAR + whole)
            sys.stdout.flush()
        else:
            said = _say_news(ready, look, said)
        if look.finished:
            return 0
        time.sleep(WATCH_SECONDS)


def _say_news(ready: Context, look: _Look, before: dict[str, object]) -> dict[str, object]:
    """Print the lines that say something new; return what has been said by now, by name."""
    now: dict[str, object] = {}
    for line in look.lines:
        name = line.fields.get("name", "")
        now[name] = line.news(as_json=ready.flags.json)
        if before.get(name) != now[name]:
            ready.output.data(line.kind, line.fields, line.said)
    return now


def _look(observer: Observer, directory: JobDirectory) -> _Look:
    seen = _seen(observer)
    here = list(workers(directory.run))
    lines = list(_of_job(seen))
    lines += [_Line("worker", one, sentence(one), ages(one)) for one in here]
    finished = seen.checkpoint is not None and seen.checkpoint.finished
    good = seen.epoch and all(one["healthy"] for one in here)
    return _Look(lines, finished, 0 if good else 1)


def _seen(observer: Observer) -> Seen:
    """Return what there is; of a job that has not been up at this broker, nothing."""
    try:
        return observer.look()
    except UsageRefused as error:
        if error.code != "UNKNOWN_TOPIC":
            raise
        policy = observer.job.policy
        return Seen(policy.name, policy.is_simulated, epoch=0, checkpoint=None, rejected=0)


def _of_job(seen: Seen) -> Iterator[_Line]:
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
    yield _Line("status", fields, "\n".join(lines))
