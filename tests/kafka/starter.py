"""A process that starts a local Kafka and may be killed at any moment.

``python -m tests.kafka.starter MARKER [unsupervised]``: says ``launched``, then ``ready``, then
waits for the end of its standard input.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any
from unittest.mock import patch

from chiron_stream.broker.local import LocalKafka
from chiron_stream.broker.local.node import LocalNode


def marked(marker: str) -> Any:
    """Make every node carry ``marker``, so that a test finds its processes."""
    plain = LocalNode.__init__

    def init(node: LocalNode, *arguments: Any, **options: Any) -> None:
        plain(node, *arguments, **options)
        node.marker = f"{marker}-{node.marker}"

    return patch.object(LocalNode, "__init__", init)


def unsupervised(node: LocalNode) -> None:
    """Start the JVM directly, without supervisor and pipe: the control."""
    (node.directory / "server.properties").write_text(node._spec["settings"])
    with node.log.open("ab") as log:
        subprocess.run(node._spec["format"], stdout=log, stderr=log, check=True)
        node.process = subprocess.Popen(
            node._spec["run"], stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True
        )


def main(marker: str, *mode: str) -> None:
    launch = unsupervised if mode else LocalNode.launch

    def announced(node: LocalNode) -> None:
        print("launching", flush=True)
        launch(node)

    with (
        marked(marker),
        patch.object(LocalNode, "launch", announced),
        tempfile.TemporaryDirectory() as directory,
        LocalKafka(Path(directory) if mode else None),
    ):
        print("ready", flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main(*sys.argv[1:])
