"""Data owners: rows in, sealed shards out, receipts back.

>>> with DataOwner("icu.job", "me.identity") as owner:  # doctest: +SKIP
...     publication = owner.publish(frame, dataset="icu")
...     publication.wait("trained", timeout=600)
...     publication.receipts()
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chiron_stream import timeouts
from chiron_stream.clients.party import Party
from chiron_stream.clients.publication import Publication, rows_that_fit
from chiron_stream.errors import SchemaMismatch
from chiron_stream.job.policy import Role
from chiron_stream.job.rows import prepare
from chiron_stream.wire.session import Purpose


def _silent(_done: int, _all: int) -> None:
    """Report nothing."""


class DataOwner(Party):
    """Publishes data sets; see :class:`~chiron_stream.clients.party.Party` for the arguments."""

    role = Role.OWNER
    purpose = Purpose.PUBLISH

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
        :raises SchemaMismatch: naming row and column; nothing was sealed.
        :raises Superseded: another publisher claimed the data set meanwhile.
        """
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
