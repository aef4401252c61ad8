"""Why a connection did not come about: what kafka-python knows and only logs.

While it bootstraps, kafka-python 3 tries again until its time is over and then says "unable to
bootstrap"; that the password was wrong, or the certificate another's, goes to its log alone. The
exceptions are objects in those log records, and are read from there.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from kafka.errors import KafkaError, KafkaTimeoutError, SaslAuthenticationFailedError

_LOGGER: Final = logging.getLogger("kafka.net.manager")


class Causes(logging.Filter):
    """Keeps the exceptions in the log records that pass, and lets every record pass."""

    def __init__(self) -> None:
        super().__init__()
        self._seen: list[KafkaError] = []

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep what a record carries."""
        arguments = record.args if isinstance(record.args, tuple) else ()
        self._seen += [
            one
            for one in arguments
            if isinstance(one, KafkaError) and not isinstance(one, KafkaTimeoutError)
        ]
        return True

    @property
    def telling(self) -> KafkaError | None:
        """The exception that says most: a refused authentication before a lost connection."""
        refused = [one for one in self._seen if isinstance(one, SaslAuthenticationFailedError)]
        return (refused or self._seen or [None])[-1]


@contextmanager
def causes_of_failure() -> Iterator[Causes]:
    """Collect the causes of failed connections for the length of a block.

    An application that silences this logger above WARNING gets the plain "no answer".
    """
    causes = Causes()
    _LOGGER.addFilter(causes)
    try:
        yield causes
    finally:
        _LOGGER.removeFilter(causes)
