"""Questions to the Faust workers and their answers, as one client sees them."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, Self

from chiron_stream import timeouts
from chiron_stream.broker.records import Outgoing, Partition, Record
from chiron_stream.broker.seam import Broker, Producer, Reader

PARTITIONS: Final = 4
NUMBER_BYTES: Final = 8
CONTENT: Final = os.urandom(2000 - NUMBER_BYTES)


@dataclass
class Traffic:
    """Numbered questions, and what came back for each.

    Question ``n`` goes to partition ``n % 4``; an answer is its number and the worker's name.

    :param answers: how often each number was answered.
    :param waits: seconds from sending a question to its first answer.
    :param workers: who gave the last answer to each number.
    """

    broker: Broker
    questions: str
    answer_partitions: tuple[Partition, ...]
    producer: Producer
    reader: Reader
    answers: Counter[int] = field(default_factory=Counter)
    waits: dict[int, float] = field(default_factory=dict)
    workers: dict[int, bytes] = field(default_factory=dict)
    last_answer: float = 0.0
    _sent: dict[int, float] = field(default_factory=dict)

    @classmethod
    @contextmanager
    def through(cls, broker: Broker, questions: str, answers: str) -> Iterator[Self]:
        """Give the traffic between two topics of four partitions, both still empty."""
        partitions = tuple(Partition(answers, number) for number in range(PARTITIONS))
        start = dict.fromkeys(partitions, 0)
        with broker.producer() as producer, broker.reader(start) as reader:
            yield cls(broker, questions, partitions, producer, reader)

    def ask(self, number: int) -> None:
        """Send one question."""
        partition = Partition(self.questions, number % PARTITIONS)
        self._sent[number] = time.monotonic()
        self.producer.send(Outgoing(partition, number.to_bytes(NUMBER_BYTES, "big") + CONTENT))

    def collect(self, seconds: float) -> None:
        """Note the answers that are there, waiting at most so long for the first."""
        for record in self.reader.poll(seconds):
            self._note(record, time.monotonic())

    def collect_until(self, deadline: float) -> None:
        """Note all answers that come before ``deadline``."""
        while (left := deadline - time.monotonic()) > 0:
            self.collect(left)

    def answered(self, messages: int) -> int:
        """Return how many of the numbers below ``messages`` have an answer."""
        return sum(1 for number in self.answers if number < messages)

    def drain(self) -> None:
        """Note everything up to the present end of the log."""
        self.producer.flush()
        ends = {place: self.broker.watermarks(place).high for place in self.answer_partitions}
        deadline = time.monotonic() + timeouts.READ
        while any(self.reader.position(place) < end for place, end in ends.items()):
            if time.monotonic() > deadline:
                raise RuntimeError(f"the answers were not read to their end: {ends}")
            self.collect(0.5)

    def _note(self, record: Record, now: float) -> None:
        number = int.from_bytes(record.value[:NUMBER_BYTES], "big")
        self.answers[number] += 1
        self.waits.setdefault(number, now - self._sent[number])
        self.workers[number] = record.value[NUMBER_BYTES:]
        self.last_answer = now
