"""``chiron publish``: the rows of a file or a pipe, checked, sealed and sent; resumable."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from chiron_stream.cli.common import Context, context, parser
from chiron_stream.cli.jobs import acting, add_member, connection, directory_of, evidence
from chiron_stream.cli.main import NOUNS
from chiron_stream.cli.rehearsal import rehearse
from chiron_stream.clients.batches import Batches, survey
from chiron_stream.clients.owner import DataOwner
from chiron_stream.clients.publication import Publication
from chiron_stream.errors import UsageRefused
from chiron_stream.job.file import Job
from chiron_stream.job.policy import Role
from chiron_stream.sources.files import FORMATS, format_of, open_table, source

_UNSEALED = "nothing was sealed"
_MEND = "what is before that row's shard was published: mend it and pipe in all rows again"


def run(arguments: Sequence[str]) -> int:
    """Publish a file as a data set and wait until its shards are accepted, or trained.

    A file is checked whole before anything is sealed; a pipe, as it comes.
    """
    ready = context(_parser().parse_args(arguments))
    flags = ready.flags
    directory = directory_of(flags)
    job = directory.job()
    identity = acting(directory, job, Role.OWNER, flags)
    dataset = flags.dataset or _only_data_set(job, identity.public)
    if not flags.dry_run:
        job.require_simulation(flags.insecure_simulation)
    kind = format_of(flags.file, flags.format)
    found = source(flags.file)
    table = open_table(found, kind, job.policy.schema)
    batches = Batches(
        job.policy.schema,
        table if found.seekable else iter(table),
        name=found.name,
        hint=_UNSEALED if found.seekable or flags.dry_run else _MEND,
        dropped=dict.fromkeys(table.unread),
    )
    rows = survey(batches) if found.seekable or flags.dry_run else None
    if flags.dry_run:
        rehearse(ready, job, identity.public, dataset, batches, rows or 0)
        return 0
    owner = DataOwner(job, identity, evidence=evidence(flags), **connection(ready, job))
    try:
        with owner:
            _publish(ready, owner, dataset, batches, rows)
    except KeyboardInterrupt:
        ready.output.note(f"{dataset}: what was accepted stays; the same command goes on behind it")
        raise
    return 0


def _parser() -> argparse.ArgumentParser:
    made = parser("publish", NOUNS["publish"])
    made.add_argument("file", metavar="FILE", help="CSV, JSON lines, .npz, Parquet; - is a pipe")
    made.add_argument("--format", choices=FORMATS, help="default: by the end of the name")
    made.add_argument("--dataset", help="its name in the policy; the owner's only one by default")
    made.add_argument("--rows-per-shard", type=int, metavar="N", help="default: what fits")
    made.add_argument(
        "--evaluate", action="store_true", help="score releases on these rows; they never train"
    )
    made.add_argument(
        "--no-fin", action="store_true", help="more rows come later: the data set is not whole"
    )
    made.add_argument(
        "--dry-run", action="store_true", help="check, say what would be sent, and send nothing"
    )
    made.add_argument(
        "--wait", choices=("sent", "accepted", "trained"), default="accepted", help="(accepted)"
    )
    made.add_argument("--timeout", type=float, default=600.0, metavar="SECONDS", help="(600)")
    add_member(made, "owner")
    return made


def _publish(
    ready: Context, owner: DataOwner, dataset: str, batches: Batches, rows: int | None
) -> None:
    flags = ready.flags
    publication = owner.publish_stream(
        batches,
        dataset=dataset,
        rows_per_shard=flags.rows_per_shard,
        evaluate=flags.evaluate,
        fin=not flags.no_fin,
        rows=rows,
        progress=_progress,
    )
    try:
        publication.wait(flags.wait, flags.timeout)
        _report(ready, dataset, publication)
    finally:
        publication.close()


def _only_data_set(job: Job, identity: bytes) -> str:
    names = [one.name for one in job.policy.schedule.data_sets if one.owner == identity]
    if len(names) != 1:
        listed = ", ".join(names) or "none listed: in an open job its owner names it"
        raise UsageRefused("which data set?", expected="--dataset NAME", got=listed)
    return names[0]


def _progress(done: int, rows: int | None) -> None:
    if sys.stderr.isatty():
        of = "" if rows is None else f" of {rows}"
        sys.stderr.write(f"\rsealed and sent {done}{of} rows")
        sys.stderr.write("\n" if done == rows else "")
        sys.stderr.flush()


def _report(ready: Context, dataset: str, publication: Publication) -> None:
    if publication.dropped:
        names = ", ".join(publication.dropped)
        ready.output.note(f"columns that the schema does not name stay here: {names}")
    if publication.resumed_at:
        ready.output.note(f"{publication.resumed_at} rows were accepted before")
    rows = sum(one.stop - one.start for one in publication.sent.values())
    for number, reason in sorted(publication.voided.items()):
        ready.output.note(f"shard {number} was left out: {reason}")
    evaluate = ready.flags.evaluate  # such rows never train
    state = "accepted" if evaluate or not publication.sent else publication.state
    fields = {
        "dataset": dataset,
        "rows": rows,
        "shards": len(publication.sent),
        "state": state,
        "voided": len(publication.voided),
    }
    use = " for evaluation" if evaluate else ""
    sentence = f"{dataset}: {rows} rows in {len(publication.sent)} shards{use}, {state}"
    if not publication.sent:  # whether they have trained only their own publication can tell
        sentence = f"{dataset}: nothing left to send"
    ready.output.data("publication", fields, sentence)
