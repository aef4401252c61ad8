"""``python -m chiron_stream.cli``: the command ``chiron``, where it is not on the path."""

from chiron_stream.cli.main import entry

entry()
