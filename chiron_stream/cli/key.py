"""``chiron key new | show``: a party's identity, and its public line for the policy's author."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from chiron_stream.cli.common import Context, context, parser
from chiron_stream.cli.main import NOUNS
from chiron_stream.clients.identity import Identity
from chiron_stream.errors import UsageRefused


def run(arguments: Sequence[str]) -> int:
    """Make an identity, or read one, and print its public line."""
    made = parser("key", NOUNS["key"])
    made.add_argument(
        "verb",
        choices=("new", "show"),
        help="new: make keys and write them, 0600, never over a file; show: read them, refused "
        "where others may too",
    )
    made.add_argument("file", type=Path, help="the identity file")
    made.add_argument("--name", help="with new: in rosters; the file's name by default")
    ready = context(made.parse_args(arguments))
    return _new(ready) if ready.flags.verb == "new" else _show(ready)


def _new(ready: Context) -> int:
    file: Path = ready.flags.file
    identity = Identity.generate(ready.flags.name or file.stem)
    try:
        identity.save(file)
    except OSError as error:
        raise UsageRefused(f"cannot write {file}", got=error.strerror) from error
    _print(ready, identity)
    ready.output.note(f"wrote {file}, mode 0600: whoever reads it is {identity.name}")
    ready.output.note("next: send the line to the author of the policy; the file goes nowhere")
    return 0


def _show(ready: Context) -> int:
    if ready.flags.name is not None:
        raise UsageRefused("--name goes with new: a name is part of an identity")
    _print(ready, Identity.load(ready.flags.file))
    return 0


def _print(ready: Context, identity: Identity) -> None:
    fields = {
        "name": identity.name,
        "file": str(ready.flags.file),
        "identity": identity.public.hex(),
        "line": identity.public_line(),
    }
    ready.output.data("identity", fields, identity.public_line())
