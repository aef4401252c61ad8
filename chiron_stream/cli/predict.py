"""``chiron predict``: one sealed query, one sealed answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from chiron_stream.cli.common import Context, context, parser
from chiron_stream.cli.jobs import acting, add_member, connection, evidence
from chiron_stream.cli.main import NOUNS
from chiron_stream.clients.query import QueryClient
from chiron_stream.errors import UsageRefused
from chiron_stream.job.policy import Role
from chiron_stream.job.schema import Schema
from chiron_stream.local.directory import JobDirectory
from chiron_stream.sources.files import read_row


def run(arguments: Sequence[str]) -> int:
    """Ask about one row and print the answer."""
    made = parser("predict", NOUNS["predict"])
    made.add_argument("row", nargs="+", metavar="NAME=VALUE", help="one for each column")
    made.add_argument("--timeout", type=float, default=30.0, metavar="SECONDS", help="(30)")
    add_member(made, "client")
    ready = context(made.parse_args(arguments))
    directory = JobDirectory(ready.flags.job.resolve())
    job = directory.job()
    row = _read(ready, job.policy.schema)
    identity = acting(directory, job, Role.CLIENT, ready.flags.member)
    options = connection(ready, job)
    with QueryClient(job, identity, evidence=evidence(ready.flags), **options) as client:
        answer = client.predict(row, timeout=ready.flags.timeout)
    fields = {
        "value": answer.value,
        "release": answer.release,
        "version": answer.version,
        "checkpoint": answer.checkpoint.hex(),
        "budget_left": answer.budget_left,
        "freshness": answer.freshness,
        "simulated": answer.simulated,
    }
    ready.output.data("answer", fields, str(answer.value))
    mark = "SIMULATED, " if answer.simulated else ""
    ready.output.note(
        f"{mark}release {answer.release}, freshness: {answer.freshness}, "
        f"{answer.budget_left} answers left"
    )
    return 0


def _read(ready: Context, schema: Schema) -> Mapping[str, Any]:
    """Return the row that was typed; say which of its columns no query needs.

    :raises UsageRefused: a name that is there twice.
    """
    words: list[str] = ready.flags.row
    names = [word.partition("=")[0] for word in words]
    if twice := [name for number, name in enumerate(names) if name in names[:number]]:
        raise UsageRefused(f"the column {twice[0]!r} is there twice", expected="one value")
    row = read_row(words, schema)
    asked = {column.name for column in schema.columns if column is not schema.target}
    if left := [name for name in row if name not in asked]:
        ready.output.note(f"columns that a query does not need stay here: {', '.join(left)}")
    return row
