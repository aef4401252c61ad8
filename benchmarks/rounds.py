"""What a round costs before anybody computes: two processes, two topics, one answer.

This process commits a record of 2 KB in a transaction; another process, which reads committed
records, answers with a plain record on a second topic; the round ends when the answer is read
here. The baseline is the same without the transaction, in alternating blocks.
"""

from __future__ import annotations

import os
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from benchmarks import round_answerer
from benchmarks.bench import Bench, Figure, Stage
from benchmarks.children import check_running, child
from benchmarks.measuring import percentile, timed_ms
from chiron_stream.broker.records import Outgoing, Partition
from chiron_stream.broker.seam import Producer, Reader, TransactionalWriter

BLOCKS: Final = 6
ROUNDS_IN_BLOCK: Final = 40
CONTENT: Final = os.urandom(1984)
"""With the 16 bytes of a round's id: a record of 2,000 bytes."""

FIRST_ANSWER_SECONDS: Final = 30.0
ANSWER_SECONDS: Final = 15.0


def benches() -> Iterator[Bench]:
    """Yield the one bench of this module."""
    about = "commit, deliver to another process, read its answer; and without a transaction"
    yield Bench("round.fixed_cost", about, measure)


def measure(stage: Stage) -> list[Figure]:
    """Run blocks of rounds, with a transaction and without in turn."""
    committed: list[float] = []
    plain: list[float] = []
    blocks, share = stage.amount(BLOCKS, 1), stage.amount(ROUNDS_IN_BLOCK, 10)
    with _parties(stage) as (transact, append, await_answer):
        _round(append, await_answer, FIRST_ANSWER_SECONDS)
        for _ in range(blocks):
            committed += [timed_ms(lambda: _round(transact, await_answer)) for _ in range(share)]
            plain += [timed_ms(lambda: _round(append, await_answer)) for _ in range(share)]
    return [
        Figure("round.fixed_cost.p50", "ms", percentile(committed, 50), percentile(plain, 50)),
        Figure("round.fixed_cost.p99", "ms", percentile(committed, 99), percentile(plain, 99)),
        Figure("round_trip.plain", "ms", percentile(plain, 50)),
    ]


Ask = Callable[[bytes], None]
AwaitAnswer = Callable[[bytes, float], None]


def _round(ask: Ask, await_answer: AwaitAnswer, seconds: float = ANSWER_SECONDS) -> None:
    identity = uuid.uuid4().bytes
    ask(identity + CONTENT)
    await_answer(identity, seconds)


@contextmanager
def _parties(stage: Stage) -> Iterator[tuple[Ask, Ask, AwaitAnswer]]:
    """Give the two ways to ask, and how to wait for the answer of the other process."""
    with ExitStack() as stack:
        questions, answers = (stack.enter_context(stage.topic()) for _ in range(2))
        log = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "answerer.log"
        arguments = (stage.endpoint, questions.topic, answers.topic)
        process = stack.enter_context(child(round_answerer.__name__, *arguments, log=log))
        writer = stack.enter_context(_writer(stage))
        producer = stack.enter_context(stage.broker.producer())
        reader = stack.enter_context(stage.broker.reader({answers: 0}))

        def await_answer(identity: bytes, seconds: float) -> None:
            check_running(process, log)
            _await(reader, identity, seconds)

        yield _in_transaction(writer, questions), _without(producer, questions), await_answer


@contextmanager
def _writer(stage: Stage) -> Iterator[TransactionalWriter]:
    identity = f"bench-{uuid.uuid4().hex}"
    with stage.broker.transactional_writer(identity, successor=lambda: False) as writer:
        writer.start()
        yield writer


def _in_transaction(writer: TransactionalWriter, questions: Partition) -> Ask:
    def ask(value: bytes) -> None:
        transaction = writer.begin()
        transaction.send(Outgoing(questions, value))
        transaction.commit()

    return ask


def _without(producer: Producer, questions: Partition) -> Ask:
    def ask(value: bytes) -> None:
        producer.send(Outgoing(questions, value)).result()

    return ask


def _await(reader: Reader, identity: bytes, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        if any(record.value == identity for record in reader.poll(min(left, 0.5))):
            return
    raise RuntimeError(f"no answer within {seconds:g} s")
