"""``chiron config``: every setting, its value, and where the value comes from."""

from __future__ import annotations

from collections.abc import Sequence

from chiron_stream.cli.common import context, parser
from chiron_stream.cli.main import NOUNS


def run(arguments: Sequence[str]) -> int:
    """Print all settings; secrets show only that they are set."""
    ready = context(parser("config", NOUNS["config"]).parse_args(arguments))
    for name, value, origin in ready.settings.shown():
        fields = {"name": name, "value": value, "origin": origin}
        ready.output.data("setting", fields, f"{name} = {value}  ({origin})")
    return 0
