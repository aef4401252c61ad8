"""``chiron predict``: one sealed query and its sealed answer, or as many as a file has rows."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from chiron_stream.cli.answering import rests_on, show
from chiron_stream.cli.common import Context, context, parser
from chiron_stream.cli.jobs import acting, add_member, connection, directory_of, evidence
from chiron_stream.cli.main import NOUNS
from chiron_stream.cli.rows import Asking, kind_of, lines_of, tag_of
from chiron_stream.clients.answers import Answer
from chiron_stream.clients.query import QueryClient
from chiron_stream.errors import UsageRefused
from chiron_stream.job.policy import Role
from chiron_stream.job.schema import Schema
from chiron_stream.sources.files import read_row
from chiron_stream.sources.rows import Row, read_rows


def run(arguments: Sequence[str]) -> int:
    """Ask about one row, or about each of a file, and print the answers."""
    made = parser("predict", NOUNS["predict"])
    _add_flags(made)
    add_member(made, "client")
    ready = context(made.parse_args(arguments))
    words: list[str] = ready.flags.row
    if ready.flags.no_wait and ready.flags.state is None:
        raise UsageRefused("answers for which nobody waits need a state", expected="--state FILE")
    with asker(ready) as client:
        if len(words) == 1 and "=" not in words[0]:
            _ask_file(ready, client, words[0])
        else:
            _ask_one(ready, client)
    return 0


def _add_flags(made: argparse.ArgumentParser) -> None:
    made.add_argument(
        "row",
        nargs="+",
        metavar="NAME=VALUE",
        help="one for each column; or one FILE of rows, or - for rows that are piped in",
    )
    made.add_argument(
        "--format",
        choices=("csv", "jsonl"),
        help="of a FILE: CSV with a header, or a JSON object a line (as its name says; - is jsonl)",
    )
    made.add_argument(
        "--tag", metavar="COLUMN", help="this column names its row: asked again, it is charged once"
    )
    made.add_argument(
        "--state", type=Path, metavar="FILE", help="keep tags and answer keys here, for later"
    )
    made.add_argument(
        "--no-wait", action="store_true", help="send only: chiron answers reads what comes"
    )
    made.add_argument(
        "--timeout", type=float, default=30.0, metavar="SECONDS", help="for each answer (30)"
    )


def asker(ready: Context) -> QueryClient:
    """Return the client that a command's flags name.

    :raises ChironError: there is no such job, member or broker.
    """
    directory = directory_of(ready.flags)
    job = directory.job()
    identity = acting(directory, job, Role.CLIENT, ready.flags)
    options = connection(ready, job)
    return QueryClient(
        job, identity, evidence=evidence(ready.flags), state=ready.flags.state, **options
    )


def _ask_one(ready: Context, client: QueryClient) -> None:
    row = Row(1, _read(ready, client.job.policy.schema))
    asking = Asking(client, [row], ready.flags.tag, ready.flags.timeout)
    if ready.flags.no_wait:
        _send_only(ready, asking)
        return
    tag = None if ready.flags.tag is None else tag_of(row, ready.flags.tag)
    answer = client.predict(row.cells, tag=tag, timeout=ready.flags.timeout)
    show(ready.output, answer)
    ready.output.note(rests_on(answer, f"{answer.budget_left} answers left"))


def _ask_file(ready: Context, client: QueryClient, name: str) -> None:
    flags = ready.flags
    kind = kind_of(name, flags.format)
    schema = client.job.policy.schema
    rows = _listed(ready, read_rows(name, lines_of(name), kind, schema), schema)
    asking = Asking(client, rows, flags.tag, flags.timeout)
    if flags.no_wait:
        _send_only(ready, asking)
    else:
        _print_all(ready, asking)


def _send_only(ready: Context, asking: Asking) -> None:
    count = asking.send_all()
    ready.output.data("asked", {"rows": count}, f"{count} queries sent")
    ready.output.note(f"next: chiron answers --state {ready.flags.state}")


def _print_all(ready: Context, asking: Asking) -> None:
    """Print each row's answer; what was answered before anything went wrong stands."""
    count, last = 0, None
    try:
        for line, answer in asking.answers():
            show(ready.output, answer, line=line)
            count, last = count + 1, answer
    finally:
        ready.output.note(_told(count, last))


def _told(count: int, last: Answer | None) -> str:
    said = f"{count} rows were answered"
    return said if last is None else rests_on(last, f"{last.budget_left} answers left; {said}")


def _read(ready: Context, schema: Schema) -> Mapping[str, Any]:
    """Return the row that was typed; say which of its columns no query needs.

    :raises UsageRefused: a name that is there twice.
    """
    words: list[str] = ready.flags.row
    names = [word.partition("=")[0] for word in words]
    if twice := [name for number, name in enumerate(names) if name in names[:number]]:
        raise UsageRefused(f"the column {twice[0]!r} is there twice", expected="one value")
    row = read_row(words, schema)
    _list_left(ready, row, schema, set())
    return row


def _listed(ready: Context, rows: Iterator[Row], schema: Schema) -> Iterator[Row]:
    """Yield rows, and say once of each of their columns if it stays here."""
    said: set[str] = set()
    for row in rows:
        _list_left(ready, row.cells, schema, said)
        yield row


def _list_left(ready: Context, row: Mapping[str, Any], schema: Schema, said: set[str]) -> None:
    asked = {column.name for column in schema.columns if column is not schema.target}
    if left := [name for name in row if name not in asked | said | {ready.flags.tag}]:
        ready.output.note(f"columns that a query does not need stay here: {', '.join(left)}")
        said.update(left)
