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
    from chiron_stream.clients.async_query import AsyncQueryClient
    from chiron_stream.clients.auditor import Auditor
    from chiron_stream.clients.identity import Identity
    from chiron_stream.clients.owner import DataOwner
    from chiron_stream.clients.provider import ModelProvider
    from chiron_stream.clients.query import QueryClient
    from chiron_stream.errors import (
        AnswerTimeout,
        BrokerUnreachable,
        BudgetExhausted,
        ChironError,
        EvidenceRefused,
        JobRefused,
        RecipeRefused,
        SchemaMismatch,
        TamperDetected,
    )
    from chiron_stream.job.simulation import InsecureSimulation
    from chiron_stream.recipe import Recipe

_HOME = {
    "AnswerTimeout": "chiron_stream.errors",
    "AsyncQueryClient": "chiron_stream.clients.async_query",
    "Auditor": "chiron_stream.clients.auditor",
    "BrokerUnreachable": "chiron_stream.errors",
    "BudgetExhausted": "chiron_stream.errors",
    "ChironError": "chiron_stream.errors",
    "DataOwner": "chiron_stream.clients.owner",
    "EvidenceRefused": "chiron_stream.errors",
    "Identity": "chiron_stream.clients.identity",
    "InsecureSimulation": "chiron_stream.job.simulation",
    "JobRefused": "chiron_stream.errors",
    "ModelProvider": "chiron_stream.clients.provider",
    "QueryClient": "chiron_stream.clients.query",
    "Recipe": "chiron_stream.recipe",
    "RecipeRefused": "chiron_stream.errors",
    "SchemaMismatch": "chiron_stream.errors",
    "TamperDetected": "chiron_stream.errors",
}

__all__ = [
    "AnswerTimeout",
    "AsyncQueryClient",
    "Auditor",
    "BrokerUnreachable",
    "BudgetExhausted",
    "ChironError",
    "DataOwner",
    "EvidenceRefused",
    "Identity",
    "InsecureSimulation",
    "JobRefused",
    "ModelProvider",
    "QueryClient",
    "Recipe",
    "RecipeRefused",
    "SchemaMismatch",
    "TamperDetected",
]


def __getattr__(name: str) -> Any:
    try:
        home = _HOME[name]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
    return getattr(import_module(home), name)


def __dir__() -> list[str]:
    return sorted(__all__)
