"""``chiron answers``: the answers to what was asked with a state, whoever asked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from chiron_stream.cli.answering import rests_on, show
from chiron_stream.cli.common import context, parser
from chiron_stream.cli.jobs import add_member
from chiron_stream.cli.main import NOUNS
from chiron_stream.cli.predict import asker


def run(arguments: Sequence[str]) -> int:
    """Print the answers behind a cursor, in the order in which they came."""
    made = parser("answers", NOUNS["answers"])
    made.add_argument(
        "--state", type=Path, metavar="FILE", required=True, help="of chiron predict --state"
    )
    made.add_argument("--after", metavar="CURSOR", help="of an answer; all that are there, if none")
    made.add_argument(
        "--timeout",
        type=float,
        default=0.0,
        metavar="SECONDS",
        help="go on until no answer came for so long (0: what is there now)",
    )
    add_member(made, "client")
    ready = context(made.parse_args(arguments))
    last = None
    with asker(ready) as client:
        for answer in client.results(after=ready.flags.after, timeout=ready.flags.timeout):
            show(ready.output, answer)
            last = answer
    if last is None:
        ready.output.note("no answers")
    else:
        ready.output.note(rests_on(last, f"next: --after {last.cursor}"))
    return 0
