"""Data owners: rows in, sealed shards out, receipts back.

>>> with DataOwner("icu.job", "me.identity") as owner:  # doctest: +SKIP
...     publication = owner.publish(frame, dataset="icu")
...     publication.wait("trained", timeout=600)
...     publication.receipts()
...     for score in owner.scores(timeout=60):
...         print(score.release, score.accuracy)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from chiron_stream import timeouts
from chiron_stream.clients.batches import Batches
from chiron_stream.clients.listening import ListeningParty
from chiron_stream.clients.publication import Progress, Publication, rows_that_fit
from chiron_stream.clients.receipts import Ledger, read_ledger
from chiron_stream.clients.windows import RowWindows, Windows
from chiron_stream.errors import SchemaMismatch, UsageRefused
from chiron_stream.job.measures import ERROR_STEPS
from chiron_stream.job.policy import Role
from chiron_stream.job.rows import prepare
from chiron_stream.job.schema import TargetColumn
from chiron_stream.sources.frames import has_rows, named_columns
from chiron_stream.wire.document import whole
from chiron_stream.wire.replies import Scored
from chiron_stream.wire.session import Purpose


def _silent(_done: int, _all: int | None) -> None:
    """Report nothing."""


def _no_rows() -> SchemaMismatch:
    return SchemaMismatch("there are no rows; nothing was sealed", code="NO_ROWS")


def _sent(publication: Publication, *, fin: bool, progress: Progress) -> Publication:
    """Have a publication send everything; it is closed if it does not."""
    try:
        publication.send(fin=fin, progress=progress)
    except BaseException:
        publication.close()
        raise
    return publication


@dataclass(frozen=True)
class Score:
    """How good a release is on the rows that this owner announced for evaluation.

    Of a label ``correct`` counts the rows whose best class is theirs; of a target ``error`` is the
    root of the mean squared error, within a step of 2^-16 of the target's range. The other is None.
    ``bits_left``: what the policy's ceiling left when the score was charged.
    """

    release: int
    version: int
    rows: int
    correct: int | None
    error: float | None
    bits_left: int

    @property
    def accuracy(self) -> float | None:
        """The share of correct rows; None of a target."""
        return None if self.correct is None else self.correct / self.rows


class DataOwner(ListeningParty[Scored]):
    """Publishes data sets; see :class:`~chiron_stream.clients.party.Party` for the arguments."""

    role = Role.OWNER
    purpose = Purpose.PUBLISH
    _reports = Scored

    def publish(
        self,
        data: Any,
        *,
        dataset: str,
        rows_per_shard: int | None = None,
        evaluate: bool = False,
        fin: bool = True,
        progress: Progress = _silent,
        timeout: float = timeouts.SESSION,
        patience: float = timeouts.BROKER_AWAY,
    ) -> Publication:
        """Check, seal and send all rows of ``data``; return when the broker has everything.

        Nothing is sealed before every row has passed the schema. Publishing the same rows again,
        after a crash or by mistake, goes on behind the last shard that the coordinator accepted:
        no row is lost and none is used twice.

        :param data: a mapping of names to arrays, a data frame (pandas, polars, pyarrow), a
            structured array, or a list of rows, each a mapping.
        :param rows_per_shard: the default is what fills the policy's largest shard class.
        :param evaluate: rows announced for evaluation never train.
        :param fin: say that the data set is whole; a closed job waits for it.
        :param progress: called with rows sent and rows in all.
        :param timeout: seconds to wait for the coordinator's admission.
        :param patience: seconds that the broker may be away, each time, once the session is open.
        :raises UsageRefused: shards without rows; nothing was sealed.
        :raises SchemaMismatch: naming row and column; nothing was sealed.
        :raises Timeout: the broker did not take everything, or the coordinator did not answer.
        """
        size = self._rows_per_shard(rows_per_shard)
        schema = self.job.policy.schema
        columns = named_columns(data, schema)
        if not has_rows(columns):
            raise _no_rows()
        prepared = prepare(schema, columns)
        publication = self.open_publication(
            dataset,
            RowWindows(lambda: iter([prepared]), size, prepared.rows),
            dropped=dict.fromkeys(prepared.dropped),
            evaluate=evaluate,
            timeout=timeout,
            patience=patience,
        )
        return _sent(publication, fin=fin, progress=progress)

    def publish_stream(
        self,
        batches: Iterable[Any] | Batches,
        *,
        dataset: str,
        rows_per_shard: int | None = None,
        evaluate: bool = False,
        fin: bool = True,
        rows: int | None = None,
        progress: Progress = _silent,
        timeout: float = timeouts.SESSION,
        patience: float = timeouts.BROKER_AWAY,
    ) -> Publication:
        """Publish batch after batch, a few shards in memory at a time; as :meth:`publish`.

        Shards do not follow batches: each has ``rows_per_shard`` rows, the last what is left. A
        wrong row ends the publication: nothing from its shard on is sealed, what lies before is
        announced. Publishing the mended stream again, from its first row, goes on there.

        :param batches: each as ``data`` of :meth:`publish`; or a
            :class:`~chiron_stream.clients.batches.Batches` of this job's schema. An iterator serves
            once; of another iterable, such as a file, a shard that was damaged on its way is read
            again.
        :param rows: how many there are, where that is known: for ``progress`` and earlier refusals.
        :raises SchemaMismatch: naming row and column, counted through all batches.
        """
        size = self._rows_per_shard(rows_per_shard)
        given = batches if isinstance(batches, Batches) else self._batches(batches)
        if not given.begin():  # what is wrong from the start opens no session
            raise _no_rows()
        publication = self.open_publication(
            dataset,
            RowWindows(given.read, size, rows),
            dropped=given.dropped,
            evaluate=evaluate,
            timeout=timeout,
            patience=patience,
        )
        return _sent(publication, fin=fin, progress=progress)

    def open_publication(
        self,
        dataset: str,
        windows: Windows,
        *,
        dropped: dict[str, None],
        evaluate: bool = False,
        timeout: float = timeouts.SESSION,
        patience: float = timeouts.BROKER_AWAY,
    ) -> Publication:
        """Claim a data set for windows that are the caller's to send; nothing is sent yet.

        :param dropped: columns of the data that the schema does not name; it may still grow.
        """
        session = self.open(data_set=dataset, timeout=timeout)
        try:
            return Publication(
                self, session, dataset, windows, dropped, evaluate=evaluate, patience=patience
            )
        except BaseException:
            session.replies.close()
            raise

    def _batches(self, batches: Iterable[Any]) -> Batches:
        hint = "what is before that row's shard was published: mend it and publish all again"
        return Batches(self.job.policy.schema, batches, hint=hint)

    def _rows_per_shard(self, given: int | None) -> int:
        """Return how many rows a shard gets.

        :raises UsageRefused: none.
        """
        if given is not None and given < 1:
            raise UsageRefused("a shard has at least one row; nothing was sealed", got=str(given))
        return given or rows_that_fit(self.job.policy)

    def scores(self, *, after: int = 0, timeout: float = 0.0) -> Iterator[Score]:
        """Yield the score of each release behind ``after`` in the order that they came in.

        Each was sealed to this identity by the appraised coordinator. The newest 1000 are told
        again to whoever asks later.

        :param timeout: seconds without a further score behind which the iteration ends.
        :raises PolicyRefused: the policy grants owners no scores.
        :raises Fenced: another process of this owner listens now.
        """
        for one in self._listen(self.job.policy.disclosure.score_every, timeout):
            if one.release > after:
                yield self._score(one)

    def ledger(self) -> Ledger:
        """Return what left of training for whom, as verified checkpoints say.

        :raises TamperDetected: checkpoints that are no honest history, or above the ceilings.
        """
        return read_ledger(self)

    def _score(self, one: Scored) -> Score:
        target, correct, error = self.job.policy.schema.target, None, None
        if isinstance(target, TargetColumn):
            error = whole(one.value) / ERROR_STEPS * (target.high - target.low)
        else:
            correct = whole(one.value)
        rows, left = whole(one.rows), whole(one.left)
        return Score(one.release, one.version, rows, correct, error, left)
