"""``chiron bridge``: a topic of one's own cluster, sealed into a data set, or asked about.

One way are rows that an owner brings (``--dataset``), the other rows that a client wants answers
to (``--answers``).
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from chiron_stream.bridge.answering import UNDER_WAY
from chiron_stream.bridge.decoding import ENVELOPES
from chiron_stream.cli.bridge_answers import bridge_answers
from chiron_stream.cli.bridge_rows import bridge_rows
from chiron_stream.cli.common import context, parser
from chiron_stream.cli.jobs import add_member
from chiron_stream.cli.main import NOUNS


def run(arguments: Sequence[str]) -> int:
    """Bridge one way or the other, until Ctrl-C or SIGTERM; or to the end of what is there."""
    ready = context(_parser().parse_args(arguments))
    if ready.flags.answers is None:
        bridge_rows(ready)
    else:
        bridge_answers(ready)
    return 0


def _parser() -> argparse.ArgumentParser:
    made = parser("bridge", NOUNS["bridge"])
    made.add_argument("topic", help="a topic of your own cluster")
    way = made.add_mutually_exclusive_group(required=True)
    way.add_argument("--dataset", metavar="NAME", help="an owner's rows go into this data set")
    way.add_argument(
        "--answers", metavar="TOPIC", help="a client's rows are asked about; answers go here"
    )
    _add_source(made)
    made.add_argument(
        "--dead-letters", metavar="TOPIC", help="of your own cluster, for what is no row"
    )
    made.add_argument(
        "--to-the-end", action="store_true", help="end when all that is there now is done with"
    )
    _add_rows(made.add_argument_group("with --dataset"))
    _add_answers(made.add_argument_group("with --answers"))
    add_member(made, "owner or client")
    return made


def _add_source(made: argparse.ArgumentParser) -> None:
    made.add_argument(
        "--source", metavar="FILE", help="your cluster: bootstrap_servers and [kafka], as --config"
    )
    made.add_argument("--source-servers", metavar="HOST:PORT", help="instead of that file's")
    made.add_argument(
        "--format", default="json", help="json, msgpack, or module:function from bytes to a row"
    )
    made.add_argument(
        "--envelope", choices=ENVELOPES, default="none", help="what a row is wrapped in (none)"
    )
    made.add_argument(
        "--column",
        action="append",
        default=[],
        metavar="NAME=FIELD",
        help="a column of the schema that has another name in the source",
    )


def _add_rows(made: argparse._ArgumentGroup) -> None:
    made.add_argument("--partitions", metavar="LIST", help="such as 0-3,7; default: all")
    made.add_argument("--rows-per-shard", type=int, metavar="N", help="default: what fits")
    made.add_argument(
        "--max-wait", type=float, default=10.0, metavar="SECONDS", help="a row waits at most (10)"
    )
    made.add_argument(
        "--fin", action="store_true", help="say at the end that the data set is whole"
    )


def _add_answers(made: argparse._ArgumentGroup) -> None:
    made.add_argument(
        "--state",
        type=Path,
        metavar="FILE",
        help="keeps what was asked, so that it is charged once",
    )
    made.add_argument(
        "--group", metavar="ID", help="bridges of one consumer group share the partitions"
    )
    made.add_argument(
        "--under-way",
        type=int,
        default=UNDER_WAY,
        metavar="N",
        help=f"rows in hand at most ({UNDER_WAY})",
    )
