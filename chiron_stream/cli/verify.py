"""``chiron verify``: a job's receipts, and with ``--replay`` its parameters, computed again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from chiron_stream.cli.common import Context, context, parser
from chiron_stream.cli.jobs import acting, add_member, connection, directory_of, evidence
from chiron_stream.cli.main import NOUNS
from chiron_stream.cli.provided import provided
from chiron_stream.clients import receipts
from chiron_stream.clients.auditor import Auditor
from chiron_stream.clients.batches import Batches
from chiron_stream.clients.observer import Observer
from chiron_stream.clients.publication import rows_that_fit
from chiron_stream.errors import TamperDetected, UsageRefused
from chiron_stream.job.columns import Array
from chiron_stream.job.file import Job
from chiron_stream.job.policy import Role
from chiron_stream.job.schema import Schema
from chiron_stream.sources.files import format_of, open_table, source

if TYPE_CHECKING:
    from chiron_stream.recipe.published import DataSetName
    from chiron_stream.recipe.replaying import Replayed, Spec


def run(arguments: Sequence[str]) -> int:
    """Verify checkpoints; with ``--replay``, train again and compare; 7 when bits differ."""
    made = parser("verify", NOUNS["verify"])
    made.add_argument("--replay", metavar="FILE", help="the provider's Python file with its `spec`")
    made.add_argument(
        "--rows",
        action="append",
        default=[],
        metavar="[[OWNER/]DATASET=]FILE",
        help="the rows as they were published; for each data set that was trained on",
    )
    made.add_argument("--rows-per-shard", type=int, metavar="N", help="as published")
    made.add_argument("--threads", type=int, default=1, help="of torch, as the trainer's (1)")
    add_member(made, "auditor")
    ready = context(made.parse_args(arguments))
    job = directory_of(ready.flags).job()
    with Observer(job, **connection(ready, job)) as observer:
        found = receipts.checkpoints(observer)
    last = found[-1][0] if found else None
    finished = last is not None and last.finished
    fields = {"checkpoints": len(found), "finished": finished}
    sentence = f"{len(found)} checkpoints: signatures, evidence and chain are good"
    ready.output.data("receipts", fields, sentence)
    return _replay(ready, job, finished=finished) if ready.flags.replay else 0


def _replay(ready: Context, job: Job, *, finished: bool) -> int:
    from chiron_stream.graph.numerics import configure_numerics
    from chiron_stream.recipe.published import Published, data_sets
    from chiron_stream.recipe.replaying import replay

    directory = directory_of(ready.flags)
    identity = acting(directory, job, Role.AUDITOR, ready.flags)
    spec = _spec(ready.flags.replay)
    options = connection(ready, job)
    with Auditor(job, identity, evidence=evidence(ready.flags), **options) as auditor:
        plans = auditor.plans()
    if not plans:
        raise UsageRefused("there is nothing to replay", got="no rounds yet")
    size = ready.flags.rows_per_shard or rows_that_fit(job.policy)
    published = Published(_tables(ready, job, data_sets(plans)), plans, size)
    configure_numerics(ready.flags.threads)
    replayed = replay(spec, plans, job.policy.schema.kinds(), published.rows_of)
    return _verdict(ready, replayed, finished=finished)


def _spec(target: str) -> Spec:
    """Return the ``spec`` of the provider's file. It is run: it is the caller's own."""
    from chiron_stream.recipe.replaying import Spec

    found = provided(target)
    if not isinstance(found, Spec):
        raise UsageRefused(
            f"{target} has no recipe to replay", expected="a Spec", got=type(found).__name__
        )
    return found


def _tables(
    ready: Context, job: Job, wanted: Sequence[DataSetName]
) -> dict[DataSetName, Mapping[str, Array]]:
    """Return the published table of each data set that was trained on."""
    words = _words(job, wanted)
    schema = job.policy.schema
    tables = {}
    for given in ready.flags.rows:
        word, equals, file = given.partition("=")
        if not equals:
            word, file = "", given
        if word in words:
            tables[words[word]] = _columns(file, schema)
    if missing := [word for word, name in words.items() if word and name not in tables]:
        expected = f"--rows {missing[0]}=FILE"
        got = ", ".join(ready.flags.rows) or "none"
        raise UsageRefused("rows are missing", expected=expected, got=got)
    return tables


def _columns(word: str, schema: Schema) -> Mapping[str, Array]:
    """Return all rows of a file, prepared."""
    table = open_table(source(word), format_of(word, None), schema)
    return Batches(schema, table, name=word).whole().columns


def _words(job: Job, wanted: Sequence[DataSetName]) -> dict[str, DataSetName]:
    """Return the data sets by what a user may call them.

    Where owners have data sets of one name, the owner's name before it; none where there is one.
    """
    owners = {one.identity: one.name for one in job.policy.roster}
    names = [one.name for one in wanted]
    words = {one.name: one for one in wanted if names.count(one.name) == 1}
    words |= {f"{owners[one.owner]}/{one.name}": one for one in wanted}
    if len(wanted) == 1:
        words[""] = wanted[0]
    return words


def _verdict(ready: Context, replayed: list[Replayed], *, finished: bool) -> int:
    last = replayed[-1]
    if not last.equal:
        before = f"equal up to round {replayed[-2].round}; " if len(replayed) > 1 else ""
        raise TamperDetected(
            f"{before}round {last.round} differs from plain PyTorch's",
            code="REPLAY_DIFFERS",
            expected=last.recorded,
            got=last.computed,
            hint="the same rows, module, torch version, threads and kind of processor?",
        )
    fields = {
        "rounds": len(replayed),
        "round": last.round,
        "recorded": last.recorded,
        "computed": last.computed,
        "finished": finished,
    }
    sentence = f"{len(replayed)} rounds computed again: equal, bit for bit"
    so_far = "" if finished else f", up to round {last.round}: the job goes on"
    ready.output.data("replay", fields, sentence + so_far)
    return 0
