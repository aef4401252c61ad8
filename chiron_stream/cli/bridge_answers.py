"""The way back of ``chiron bridge``: rows of the client's own topic, answers into another."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

from chiron_stream.bridge.answering import AnswerBridge
from chiron_stream.bridge.gathering import Refused
from chiron_stream.bridge.inquiring import Inquiry
from chiron_stream.bridge.replies import Target
from chiron_stream.bridge.source import SourceTopic
from chiron_stream.broker.records import Partition, Record
from chiron_stream.cli.bridging import Refusals, reader_of, source_of, stopped
from chiron_stream.cli.common import Context
from chiron_stream.cli.jobs import acting, connection, directory_of, evidence
from chiron_stream.cli.seldom import warn_seldom
from chiron_stream.clients.query import QueryClient
from chiron_stream.errors import AnswerTimeout, UsageRefused
from chiron_stream.job.file import Job
from chiron_stream.job.policy import Role


def bridge_answers(ready: Context) -> None:
    """Answer until Ctrl-C or SIGTERM; with ``--to-the-end``, until all that is there is answered.

    :raises UsageRefused: flags of the other way, no state, or topics that cannot be.
    """
    flags = ready.flags
    directory = directory_of(flags)
    job = directory.job()
    _check(ready, job)
    identity = acting(directory, job, Role.CLIENT, flags)
    reader = reader_of(flags, job.policy.schema)
    options = {"state": flags.state, "under_way": flags.under_way, **connection(ready, job)}
    with ExitStack() as stack:
        source = stack.enter_context(source_of(flags))
        target = Target(source.broker, flags.answers, flags.dead_letters)
        client = QueryClient(job, identity, evidence=evidence(flags), **options)
        stack.enter_context(client)
        inquiry = Inquiry(client, reader.of, source.broker.administration().topic_id(flags.topic))
        told = ToldOfAnswers(ready, source)
        group = flags.group or f"chiron-answers.{job.policy.name}.{flags.answers}"
        bridge = AnswerBridge(inquiry, source, target, group, told, flags.under_way)
        warn_seldom()
        bridge.run(stopped(), to_the_end=flags.to_the_end)
        told.ended()


def _check(ready: Context, job: Job) -> None:
    flags = ready.flags
    if flags.state is None:
        raise UsageRefused(
            "answers need a state: without one a row is charged again after each end",
            expected="--state FILE, a file of its own for each bridge",
        )
    others = {"--partitions": flags.partitions, "--rows-per-shard": flags.rows_per_shard}
    if given := [name for name, value in {**others, "--fin": flags.fin or None}.items() if value]:
        raise UsageRefused(f"{given[0]} is for --dataset", expected="none with --answers")
    written = [one for one in (flags.answers, flags.dead_letters) if one]
    if flags.topic in written or len(set(written)) < len(written):
        raise UsageRefused(
            "rows, answers and dead letters need a topic each",
            got=", ".join([flags.topic, *written]),
        )
    if own := [one for one in written if one.startswith(f"chiron.{job.policy.name}.")]:
        raise UsageRefused(
            f"{own[0]} is a topic of the job: nothing there may be plaintext",
            expected="a topic of your own",
        )


class ToldOfAnswers:
    """Prints what a bridge does: a line for each transaction, and what was no row."""

    def __init__(self, ready: Context, source: SourceTopic) -> None:
        self._output = ready.output
        self._source = source
        self._answers_topic: str = ready.flags.answers
        self._refused = Refusals(ready.output)
        self._answers = 0

    def opened(self, place: Partition, front: int) -> None:
        """Say from where on a partition is answered here."""
        fields = {"partition": place.number, "offset": front}
        self._output.data("bridge.answering", fields, f"{place}: answers from {front} on")

    def written(
        self, place: Partition, last: int, answers: int, refused: Sequence[Refused]
    ) -> None:
        """Say what was written, and name what is no row."""
        self._answers += answers
        for one in refused:
            self._refused.note(one)
        fields = {
            "partition": place.number,
            "last": last,
            "answers": answers,
            "refused": len(refused),
        }
        self._output.data("bridge.answered", fields, f"{place}: {answers} answers, up to {last}")

    def late(self, record: Record, error: AnswerTimeout) -> None:
        """Say that an answer is long in coming."""
        where = f"{record.partition} at {record.offset}"
        self._output.note(f"{where} waits for its answer: {error}")

    def ended(self) -> None:
        """Say what was done."""
        fields = {
            "topic": self._source.topic,
            "answers_topic": self._answers_topic,
            "answers": self._answers,
            "refused": self._refused.counts,
        }
        sentence = f"{self._answers_topic}: {self._answers} answers"
        self._output.data("bridge.answers", fields, self._refused.ending(sentence))
