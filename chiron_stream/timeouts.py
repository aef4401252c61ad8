"""All time-outs, in seconds, in one table (``docs/operating.md`` shows the same figures).

The three of a transaction are nested, so that the innermost one is always the first to speak:
delivery of a record < watchdog of a commit < the broker's own time-out of the transaction.
"""

from __future__ import annotations

from typing import Final

CONNECT: Final = 10.0
"""Until the first answer of a broker; then :class:`~chiron_stream.errors.BrokerUnreachable`."""

REQUEST: Final = 10.0
"""One request to a broker that was reached before."""

DELIVERY: Final = 15.0
"""From ``send`` to the acknowledgement by all in-sync replicas."""

COMMIT_WATCHDOG: Final = 20.0
"""One commit; after it the outcome is unknown and the writer is finished."""

TRANSACTION: Final = 30.0
"""Until the broker aborts the transaction of a writer that went silent."""

READ: Final = 30.0
"""Reading a named extent, scan included."""

BROKER_START: Final = 60.0
"""Starting a local broker, format included."""

BROKER_STOP: Final = 15.0
"""A local broker's orderly stop; then it is killed."""

COORDINATOR: Final = 30.0
"""Until a job's coordinator shows on ``authority``."""

SESSION: Final = 30.0
"""Opening a session, until it is admitted."""

BROKER_AWAY: Final = 120.0
"""A broker that is gone while a data set is published; then the publication ends with the error."""

IMPORT: Final = 120.0
"""Publishing a recipe, until the coordinator has checked it."""

ANSWER: Final = 30.0
"""A client's query, until its answer; halfway the same bytes are sent again."""

STALL: Final = 120.0
"""A coordinator, a predictor or a starting core without a sign of work; then its worker is red, and
after as long again it ends. A trainer has its policy's step deadline. An idle worker that reads
nothing of what there is is red too."""

BROKER_SILENT: Final = 30.0
"""A broker that tells a worker nothing; then the worker is red."""
