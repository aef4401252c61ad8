"""``chiron publish``: a file's rows, checked, sealed and sent; resumable."""

from __future__ import annotations

import csv
import sys
from collections.abc import Sequence
from pathlib import Path

from chiron_stream.cli.common import Context, context, parser
from chiron_stream.cli.jobs import acting, add_member, connection, evidence
from chiron_stream.cli.main import NOUNS
from chiron_stream.clients.owner import DataOwner
from chiron_stream.clients.publication import Publication
from chiron_stream.errors import UsageRefused
from chiron_stream.job.file import Job
from chiron_stream.job.policy import Role
from chiron_stream.job.schema import Schema
from chiron_stream.local.directory import JobDirectory
from chiron_stream.sources.files import Table, read_table


def run(arguments: Sequence[str]) -> int:
    """Publish a file as a data set and wait until its shards are accepted, or trained."""
    made = parser("publish", NOUNS["publish"])
    made.add_argument("file", type=Path, help=".csv with a header line, or .npz")
    made.add_argument("--dataset", help="its name in the policy; the owner's only one by default")
    made.add_argument("--rows-per-shard", type=int, metavar="N", help="default: what fits")
    made.add_argument(
        "--wait", choices=("sent", "accepted", "trained"), default="accepted", help="(accepted)"
    )
    made.add_argument("--timeout", type=float, default=600.0, metavar="SECONDS", help="(600)")
    add_member(made, "owner")
    ready = context(made.parse_args(arguments))
    flags = ready.flags
    directory = JobDirectory(flags.job.resolve())
    job = directory.job()
    identity = acting(directory, job, Role.OWNER, flags.member)
    dataset = flags.dataset or _only_data_set(job, identity.public)
    owner = DataOwner(job, identity, evidence=evidence(flags), **connection(ready, job))
    table = _read(flags.file, job.policy.schema)
    with owner:
        publication = owner.publish(
            table, dataset=dataset, rows_per_shard=flags.rows_per_shard, progress=_progress
        )
        publication.wait(flags.wait, flags.timeout)
        _report(ready, dataset, publication)
        publication.close()
    return 0


def _read(path: Path, schema: Schema) -> Table:
    """Return the columns of a file.

    :raises UsageRefused: it does not read; no cell is in the message.
    """
    try:
        return read_table(path, schema)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageRefused(
            f"{path.name} does not read; nothing was sealed",
            expected="CSV in UTF-8, or arrays of NumPy",
            got=type(error).__name__,
        ) from error


def _only_data_set(job: Job, identity: bytes) -> str:
    names = [one.name for one in job.policy.schedule.data_sets if one.owner == identity]
    if len(names) != 1:
        listed = ", ".join(names) or "none listed: in an open job its owner names it"
        raise UsageRefused("which data set?", expected="--dataset NAME", got=listed)
    return names[0]


def _progress(done: int, rows: int) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\rsealed and sent {done} of {rows} rows")
        sys.stderr.write("\n" if done == rows else "")
        sys.stderr.flush()


def _report(ready: Context, dataset: str, publication: Publication) -> None:
    if publication.dropped:
        ready.output.note(f"columns that the schema does not name stay here: {_names(publication)}")
    if publication.resumed_at:
        ready.output.note(f"{publication.resumed_at} rows were accepted before")
    rows = sum(one.stop - one.start for one in publication.sent.values())
    for number, reason in sorted(publication.voided.items()):
        ready.output.note(f"shard {number} was left out: {reason}")
    fields = {
        "dataset": dataset,
        "rows": rows,
        "shards": len(publication.sent),
        "state": publication.state if publication.sent else "accepted",
        "voided": len(publication.voided),
    }
    sentence = f"{dataset}: {rows} rows in {len(publication.sent)} shards, {publication.state}"
    if not publication.sent:  # whether they have trained only their own publication can tell
        sentence = f"{dataset}: nothing left to send"
    ready.output.data("publication", fields, sentence)


def _names(publication: Publication) -> str:
    return ", ".join(publication.dropped)
