"""Data owners: rows in, sealed shards out, receipts back.

>>> with DataOwner("icu.job", "me.identity") as owner:  # doctest: +SKIP
...     publication = owner.publish(frame, dataset="icu")
...     publication.wait("trained", timeout=600)
...     publication.receipts()
...     for score in owner.scores(timeout=60):
...         print(score.release, score.accuracy)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from chiron_stream import timeouts
from chiron_stream.clients.listening import ListeningParty
from chiron_stream.clients.publication import Publication, rows_that_fit
from chiron_stream.clients.receipts import Ledger, read_ledger
from chiron_stream.errors import SchemaMismatch, UsageRefused
from chiron_stream.job.measures import ERROR_STEPS
from chiron_stream.job.policy import Role
from chiron_stream.job.rows import prepare
from chiron_stream.job.schema import TargetColumn
from chiron_stream.wire.document import whole
from chiron_stream.wire.replies import Scored
from chiron_stream.wire.session import Purpose


def _silent(_done: int, _all: int) -> None:
    """Report nothing."""


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
        progress: Callable[[int, int], None] = _silent,
        timeout: float = timeouts.SESSION,
    ) -> Publication:
        """Check, seal and send all rows of ``data``; return when the broker has everything.

        Nothing is sealed before every row has passed the schema. Publishing the same rows again,
        after a crash or by mistake, goes on behind the last shard that the coordinator accepted:
        no row is lost and none is used twice.

        :param data: a mapping of names to arrays, a data frame, or a structured array.
        :param rows_per_shard: the default is what fills the policy's largest shard class.
        :param evaluate: rows announced for evaluation never train.
        :param fin: say that the data set is whole; a closed job waits for it.
        :param progress: called with rows sent and rows in all.
        :param timeout: seconds to wait for the coordinator's admission.
        :raises UsageRefused: shards without rows; nothing was sealed.
        :raises SchemaMismatch: naming row and column; nothing was sealed.
        :raises Timeout: the broker did not take everything, or the coordinator did not answer.
        """
        if rows_per_shard is not None and rows_per_shard < 1:
            raise UsageRefused(
                "a shard has at least one row; nothing was sealed", got=str(rows_per_shard)
            )
        policy = self.job.policy
        prepared = prepare(policy.schema, data)
        if not prepared.rows:
            raise SchemaMismatch("there are no rows; nothing was sealed", code="NO_ROWS")
        size = rows_per_shard or rows_that_fit(policy)
        session = self.open(data_set=dataset, timeout=timeout)
        publication = Publication(self, session, dataset, prepared, size, evaluate=evaluate)
        try:
            publication.send(fin=fin, progress=progress)
        except BaseException:
            publication.close()
            raise
        return publication

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
