"""``python -m tests.crash.dying TOPIC NUMBER WHEN publish ...``: ``chiron``, killed at a record.

The real command, which kills itself with SIGKILL when it sends the so-and-so-many-th record on a
topic: ``before`` it is sent, or ``after`` the broker has acknowledged it. Every record before it is
acknowledged then, and none behind it was sent.
"""

from __future__ import annotations

import os
import signal
import sys
from collections import Counter
from collections.abc import Sequence
from unittest.mock import patch

from chiron_stream.broker.kafka.producing import KafkaDelivery, KafkaProducing
from chiron_stream.broker.records import Outgoing
from chiron_stream.cli.main import main

_send = KafkaProducing.send


def run(topic: str, number: int, when: str, arguments: Sequence[str]) -> int:
    """Run the command; return its exit code, should it come to its end."""
    sent: Counter[str] = Counter()

    def send(producer: KafkaProducing, record: Outgoing) -> KafkaDelivery:
        name = record.partition.topic.rpartition(".")[2]
        sent[name] += 1
        if (name, sent[name]) == (topic, number):
            if when == "after":
                _send(producer, record)
            producer.flush()
            os.kill(os.getpid(), signal.SIGKILL)
        return _send(producer, record)

    with patch.object(KafkaProducing, "send", send):
        return main(arguments)


if __name__ == "__main__":
    sys.exit(run(sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4:]))
