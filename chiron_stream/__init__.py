"""chiron-stream: confidential machine learning over Apache Kafka.

Importing this package loads neither torch nor Faust nor a Kafka client: names are resolved when
they are first used (PEP 562), so that a core process can hold what it needs and nothing else.

>>> import chiron_stream
>>> chiron_stream.ChironError.exit_code
1
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from chiron_stream.errors import (
        BrokerUnreachable,
        ChironError,
        TamperDetected,
    )

_HOME = {
    "BrokerUnreachable": "chiron_stream.errors",
    "ChironError": "chiron_stream.errors",
    "TamperDetected": "chiron_stream.errors",
}

__all__ = ["BrokerUnreachable", "ChironError", "TamperDetected"]


def __getattr__(name: str) -> Any:
    try:
        home = _HOME[name]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
    return getattr(import_module(home), name)


def __dir__() -> list[str]:
    return sorted(__all__)
