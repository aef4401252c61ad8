"""``chiron down``: stops the broker that another ``chiron up`` started."""

from __future__ import annotations

from collections.abc import Sequence

from chiron_stream.broker.local.node import stop_elsewhere
from chiron_stream.cli.common import context, parser
from chiron_stream.cli.main import NOUNS


def run(arguments: Sequence[str]) -> int:
    """Stop the broker of a directory and wait until it has ended."""
    ready = context(parser("down", NOUNS["down"]).parse_args(arguments))
    directory = ready.settings.path("broker_directory").resolve()
    if stop_elsewhere(directory):
        ready.output.note(f"stopped the broker in {directory}")
    else:
        ready.output.note(f"no broker is running in {directory}")
    return 0
