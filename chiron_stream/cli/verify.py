"""``chiron verify``: a job's receipts, and with ``--replay`` its parameters, computed again."""

from __future__ import annotations

import runpy
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chiron_stream.cli.common import Context, context, parser
from chiron_stream.cli.jobs import acting, add_member, connection, evidence
from chiron_stream.cli.main import NOUNS
from chiron_stream.clients import receipts
from chiron_stream.clients.auditor import Auditor
from chiron_stream.clients.observer import Observer
from chiron_stream.clients.publication import rows_that_fit
from chiron_stream.errors import TamperDetected, UsageRefused
from chiron_stream.job.file import Job
from chiron_stream.job.policy import Role
from chiron_stream.job.rows import prepare
from chiron_stream.local.directory import JobDirectory
from chiron_stream.sources.files import read_table
from chiron_stream.wire.receipts import PlannedShard

if TYPE_CHECKING:
    from chiron_stream.recipe.replaying import Replayed, Spec


def run(arguments: Sequence[str]) -> int:
    """Verify checkpoints; with ``--replay``, train again and compare; 7 when bits differ."""
    made = parser("verify", NOUNS["verify"])
    made.add_argument(
        "--replay", type=Path, metavar="FILE", help="the provider's Python file with its `spec`"
    )
    made.add_argument(
        "--rows",
        action="append",
        default=[],
        metavar="[DATASET=]FILE",
        help="the rows as they were published; for each data set",
    )
    made.add_argument("--rows-per-shard", type=int, metavar="N", help="as published")
    made.add_argument("--threads", type=int, default=1, help="of torch, as the trainer's (1)")
    add_member(made, "auditor")
    ready = context(made.parse_args(arguments))
    job = JobDirectory(ready.flags.job.resolve()).job()
    with Observer(job, **connection(ready, job)) as observer:
        found = receipts.checkpoints(observer)
    last = found[-1][0] if found else None
    fields = {"checkpoints": len(found), "finished": last is not None and last.finished}
    sentence = f"{len(found)} checkpoints: signatures, evidence and chain are good"
    ready.output.data("receipts", fields, sentence)
    return _replay(ready, job) if ready.flags.replay else 0


def _replay(ready: Context, job: Job) -> int:
    from chiron_stream.graph.numerics import configure_numerics
    from chiron_stream.recipe.replaying import replay

    directory = JobDirectory(ready.flags.job.resolve())
    identity = acting(directory, job, Role.AUDITOR, ready.flags.member)
    spec = _spec(ready.flags.replay)
    tables = _tables(ready, job)
    configure_numerics(ready.flags.threads)
    options = connection(ready, job)
    with Auditor(job, identity, evidence=evidence(ready.flags), **options) as auditor:
        plans = auditor.plans()
    size = ready.flags.rows_per_shard or rows_that_fit(job.policy)

    def rows_of(shard: PlannedShard) -> dict[str, Any]:
        start = shard.number * size
        table = tables[shard.data_set]
        return {name: array[start : start + shard.rows] for name, array in table.items()}

    replayed = replay(spec, plans, job.policy.schema.kinds(), rows_of)
    return _verdict(ready, replayed)


def _spec(path: Path) -> Spec:
    """Return the ``spec`` of the provider's file. It is run: it is the caller's own."""
    from chiron_stream.recipe.replaying import Spec

    try:
        found = runpy.run_path(str(path)).get("spec")
    except OSError as error:
        raise UsageRefused(f"cannot read {path}", got=error.strerror) from error
    if not isinstance(found, Spec):
        raise UsageRefused(f"{path} has no recipe", expected="a Spec called spec")
    return found


def _tables(ready: Context, job: Job) -> dict[str, Any]:
    names = [one.name for one in job.policy.schedule.data_sets]
    tables = {}
    for word in ready.flags.rows:
        name, equals, file = word.partition("=")
        if not equals:
            name, file = names[0], word
        schema = job.policy.schema
        tables[name] = prepare(schema, read_table(Path(file), schema)).columns
    if missing := [name for name in names if name not in tables]:
        raise UsageRefused("rows are missing", expected="--rows DATASET=FILE", got=missing[0])
    return tables


def _verdict(ready: Context, replayed: list[Replayed]) -> int:
    last = replayed[-1] if replayed else None
    if last is None:
        raise UsageRefused("there is nothing to replay", got="no rounds yet")
    fields = {"round": last.round, "recorded": last.recorded, "computed": last.computed}
    if not last.equal:
        raise TamperDetected(
            f"round {last.round} differs from plain PyTorch's",
            code="REPLAY_DIFFERS",
            expected=last.recorded,
            got=last.computed,
            hint="the same rows, module, torch version, threads and kind of processor?",
        )
    ready.output.data(
        "replay", fields, f"{len(replayed)} rounds computed again: equal, bit for bit"
    )
    return 0
