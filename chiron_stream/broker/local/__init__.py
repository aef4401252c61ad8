"""A real Apache Kafka on this machine, started by one call and gone with its starter.

``launcher`` is what commands, tests and benches use; ``supervisor`` is the process that holds the
pipe; ``distribution`` fetches and checks the jars.
"""

from __future__ import annotations

from chiron_stream.broker.local.launcher import LocalKafka

__all__ = ["LocalKafka"]
