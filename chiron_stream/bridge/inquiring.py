"""From a record of the source to a question: a sealed query under the tag of its place."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future

from chiron_stream import timeouts
from chiron_stream.bridge.decoding import Poison, Reading, Reason
from chiron_stream.bridge.gathering import Refused, of_one_row
from chiron_stream.bridge.lanes import Question
from chiron_stream.broker.records import Record
from chiron_stream.clients.answers import Answer
from chiron_stream.clients.query import QueryClient
from chiron_stream.clients.state import TagTaken
from chiron_stream.errors import AnswerTimeout, PolicyRefused, SchemaMismatch


class Inquiry:
    """Asks about records.

    :param client: with a state: tags hold through crashes.
    :param topic_id: of the source; another topic of its name has other rows at the same offsets.
    """

    def __init__(self, client: QueryClient, read: Reading, topic_id: str) -> None:
        self._client = client
        self._read = read
        self._topic_id = topic_id

    def ask(self, record: Record, settled: Callable[[], None]) -> Question:
        """Ask about a record; what is no row is settled at once.

        :param settled: called, from any thread, when its answer is there.
        :raises ChironError: nothing can be asked.
        """
        try:
            future = self._submit(record)
        except Poison as poison:
            return Question(record, Refused(record, poison.reason, poison.detail))
        except SchemaMismatch as error:
            return Question(record, Refused(record, Reason.SCHEMA, of_one_row(error)))
        except PolicyRefused as error:
            if error.code != "RECORD_TOO_LARGE":
                raise
            return Question(record, Refused(record, Reason.SIZE, error.expected or ""))
        future.add_done_callback(lambda _: settled())
        return Question(record, future)

    def _submit(self, record: Record) -> Future[Answer]:
        tag = f"{self._topic_id}/{record.partition.number}/{record.offset}"
        try:
            return self._client.submit(self._read(record), tag=tag, timeout=timeouts.SESSION)
        except TagTaken as error:
            raise TagTaken(
                f"{record.partition} at {record.offset} was asked about before, as another row",
                expected="the same --format, --envelope, --column and schema as then",
                hint="undo the change until these rows are answered, or name another --state",
            ) from error

    def again(self, question: Question) -> None:
        """Send a question's bytes once more.

        :raises ChironError: the broker does not take them.
        """
        if isinstance(question.asked, Future):
            self._client.asking.again(question.asked)

    def why(self, seconds: float) -> AnswerTimeout:
        """Return why an answer is so long in coming; this takes a second."""
        return self._client.asking.late(seconds)
