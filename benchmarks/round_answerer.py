"""The other process of :mod:`benchmarks.rounds`: answers every committed record it reads.

``python -m benchmarks.round_answerer ENDPOINT QUESTIONS ANSWERS``; the answer is the first 16 bytes
of the question, its id.
"""

from __future__ import annotations

import sys

from benchmarks.children import end_with_parent
from chiron_stream.broker.kafka import KafkaBroker
from chiron_stream.broker.records import Outgoing, Partition


def main(endpoint: str, questions: str, answers: str) -> None:
    """Answer until the bench ends."""
    source, target = Partition(questions, 0), Partition(answers, 0)
    with (
        KafkaBroker(endpoint) as broker,
        broker.producer() as producer,
        broker.reader({source: 0}) as reader,
    ):
        while True:
            for record in reader.poll(0.5):
                producer.send(Outgoing(target, record.value[:16]))


if __name__ == "__main__":
    end_with_parent()
    main(*sys.argv[1:])
