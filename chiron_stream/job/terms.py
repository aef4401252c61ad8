"""The terms of a job as people write them: a TOML table, and the policy parts it stands for.

::

    name = "icu"
    owners = { alice = ["icu-2025"] }        # owner: names of data sets
    provider = "bob"
    clients = ["carol"]
    auditor = "dan"                          # optional
    seed = "any text"                        # optional: the same rounds every time; else random

    [[columns]]
    name = "age"
    kind = "number"                          # number, category, tensor, label, target
    low = 0
    high = 120

    [schedule]                               # every key has a default
    shards_per_slot = 8
    passes = 10

A job that never ends has ``kind = "open"`` in its schedule and ``owners = ["alice", "anna"]``: they
name their data sets as they publish them.

Whatever is not known is refused: a misspelt key must not quietly become a default.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from chiron_stream.errors import JobRefused
from chiron_stream.job.disclosure import Disclosure, Form
from chiron_stream.job.fields import packed_bytes
from chiron_stream.job.policy import RecipeLimits, ShardClass
from chiron_stream.job.schedule import Kind
from chiron_stream.job.schema import (
    CategoryColumn,
    Column,
    LabelColumn,
    NumberColumn,
    Schema,
    TargetColumn,
    TensorColumn,
)

_SCHEDULE: Final = {
    "kind": "closed",
    "slots": 1,
    "shards_per_slot": 8,
    "passes": 1,
    "step_deadline": 30,
    "release_every": 1,
}
_OPEN: Final = {**_SCHEDULE, "kind": "open", "window": 1, "max_wait": 60, "owner_slots": 0}
"""``owner_slots``: 0 stands for all slots of a round."""

_DISCLOSURE: Final = {
    "form": "label",
    "k": 0,
    "bits": 0,
    "minimum_owners": 1,
    "minimum_rows": 1,
    "answers_per_client": 100_000,
    "grant_size": 100,
    "score_every": 0,
    "score_ceiling": 0,
    "progress_bits": 0,
    "progress_ceiling": 0,
}
"""A ceiling of 0 stands for :data:`CEILING` where something is granted."""

CEILING: Final = 100_000
"""Bits of all reports to the provider, and of all scores of one owner, by default."""

_LIMITS: Final = {
    "parameter_bytes": 256 * 1024 * 1024,
    "activation_bytes": 2 * 1024 * 1024 * 1024,
    "batch_size": 8192,
    "predictor_batch": 32,
}
_TOP: Final = ("name", "owners", "provider", "clients", "columns")
_OPTIONAL: Final = ("auditor", "seed", "schedule", "disclosure", "limits", "shard_classes")

SHARD_CLASSES: Final = ((1, 16_384), (1, 131_072), (1, 900_000), (8, 900_000))
"""Records and bytes of each that shards are padded to, by default."""

_ANSWER_BYTES: Final = 512
_QUERY_STEP: Final = 256


@dataclass(frozen=True)
class Terms:
    """Terms that read; members have no keys yet."""

    name: str
    owners: Mapping[str, tuple[str, ...]]
    provider: str
    clients: tuple[str, ...]
    auditor: str | None
    seed: bytes | None
    schema: Schema
    schedule: Mapping[str, Any]
    """Fields of :class:`~chiron_stream.job.schedule.Schedule`, but for the data sets."""
    disclosure: Disclosure
    recipe: RecipeLimits
    predictor_batch: int
    shard_classes: tuple[ShardClass, ...]

    @property
    def query_bytes(self) -> int:
        """Plaintext bytes of a query: one row and its length, rounded up."""
        row = packed_bytes(self.schema.fields("query"), 1) + 4
        return -(-row // _QUERY_STEP) * _QUERY_STEP

    @property
    def answer_bytes(self) -> int:
        """Plaintext bytes of an answer: enough for every class and score."""
        target = self.schema.target
        classes = len(target.classes) if isinstance(target, LabelColumn) else 1
        return _ANSWER_BYTES + 16 * classes

    @property
    def members(self) -> tuple[str, ...]:
        """Names of all members."""
        auditor = (self.auditor,) if self.auditor else ()
        return (*self.owners, self.provider, *self.clients, *auditor)


def read_terms(table: Mapping[str, Any]) -> Terms:
    """Return the terms of a decoded TOML table.

    :raises JobRefused: a key that is not known, missing, or of another type; code ``JOB_TERMS``.
    """
    _check_keys(table, "the terms", _TOP, _OPTIONAL)
    schedule = _schedule(table)
    disclosure = _disclosure(table)
    limits = _merged(table, "limits", _LIMITS)
    return Terms(
        name=_text(table["name"], "name"),
        owners=_owners(table["owners"], schedule["kind"]),
        provider=_text(table["provider"], "provider"),
        clients=_names(table["clients"], "clients"),
        auditor=_text(table["auditor"], "auditor") if "auditor" in table else None,
        seed=_seed(table["seed"]) if "seed" in table else None,
        schema=Schema(tuple(_column(one) for one in _list(table["columns"], "columns"))),
        schedule=schedule,
        disclosure=disclosure,
        predictor_batch=limits.pop("predictor_batch"),
        recipe=RecipeLimits(None, **limits),
        shard_classes=_classes(table.get("shard_classes", SHARD_CLASSES)),
    )


def _check_keys(
    table: Mapping[str, Any], what: str, needed: tuple[str, ...], optional: tuple[str, ...] = ()
) -> None:
    missing = [name for name in needed if name not in table and name not in optional]
    unknown = [name for name in table if name not in needed and name not in optional]
    if missing or unknown:
        raise _refused(
            what,
            "; ".join(
                f"{word} {', '.join(keys)}"
                for word, keys in (("the keys", needed), ("perhaps", optional))
                if keys
            ),
            f"missing: {', '.join(missing) or 'none'}; unknown: {', '.join(unknown) or 'none'}",
        )


def _merged(table: Mapping[str, Any], name: str, defaults: Mapping[str, Any]) -> dict[str, Any]:
    given = table.get(name, {})
    if not isinstance(given, Mapping):
        raise _refused(name, "a table", type(given).__name__)
    _check_keys(given, f"[{name}]", (), tuple(defaults))
    merged = {**defaults, **given}
    for key, value in merged.items():
        if type(value) is not type(defaults[key]):
            raise _refused(f"{name}.{key}", type(defaults[key]).__name__, type(value).__name__)
    return merged


def _seed(value: object) -> bytes:
    return hashlib.sha256(_text(value, "seed").encode()).digest()


def _disclosure(table: Mapping[str, Any]) -> Disclosure:
    merged = _merged(table, "disclosure", _DISCLOSURE)
    for ceiling, granted in (
        ("score_ceiling", "score_every"),
        ("progress_ceiling", "progress_bits"),
    ):
        if merged[granted] and not merged[ceiling]:
            merged[ceiling] = CEILING
    return Disclosure(form=_form(merged.pop("form")), **merged)


def _form(text: str) -> Form:
    if text.upper() not in Form.__members__:
        raise _refused("disclosure.form", "label, top_k or rounded", "another word")
    return Form[text.upper()]


def _schedule(table: Mapping[str, Any]) -> dict[str, Any]:
    given = table.get("schedule", {})
    kinds = {"closed": Kind.CLOSED, "open": Kind.OPEN}
    word = given.get("kind", "closed") if isinstance(given, Mapping) else "closed"
    if word not in kinds:
        raise _refused("schedule.kind", "closed or open", "another word")
    merged = _merged(table, "schedule", _OPEN if word == "open" else _SCHEDULE)
    merged["kind"] = kinds[word]
    if word == "open":
        merged["owner_slots"] = merged["owner_slots"] or merged["slots"]
    return merged


def _owners(value: object, kind: Kind) -> dict[str, tuple[str, ...]]:
    if kind is Kind.OPEN:
        return dict.fromkeys(_names(value, "owners, of an open job,"), ())
    if not isinstance(value, Mapping) or not value:
        raise _refused("owners", "a table of owners and their data sets", type(value).__name__)
    return {name: _names(data_sets, f"owners.{name}") for name, data_sets in value.items()}


def _classes(value: object) -> tuple[ShardClass, ...]:
    pairs = _list(value, "shard_classes")
    for pair in pairs:
        good = isinstance(pair, list | tuple) and [type(one) for one in pair] == [int, int]
        if not good:
            raise _refused("shard_classes", "pairs of records and bytes", "another")
    return tuple(ShardClass(records, size) for records, size in pairs)


def _column(value: object) -> Column:
    if not isinstance(value, Mapping):
        raise _refused("columns", "tables", type(value).__name__)
    table = dict(value)
    kind = table.pop("kind", None)
    if kind not in _COLUMNS:
        raise _refused("columns.kind", ", ".join(_COLUMNS), repr(kind))
    make, defaults = _COLUMNS[kind]
    needed = tuple(name for name, default in defaults.items() if default is None)
    optional = tuple(name for name, default in defaults.items() if default is not None)
    _check_keys(table, f"a column of kind {kind}", needed, optional)
    return make(**_typed({**defaults, **table}))


def _typed(table: Mapping[str, Any]) -> dict[str, Any]:
    """Return keyword arguments: numbers of ranges as floats, lists as tuples."""
    made: dict[str, Any] = {}
    for name, value in table.items():
        if isinstance(value, list):
            made[name] = tuple(value)
        elif name in ("low", "high", "constant") and type(value) is int:
            made[name] = float(value)
        else:
            made[name] = value
    return made


_COLUMNS: Final[dict[str, tuple[Callable[..., Column], dict[str, Any]]]] = {
    "number": (
        NumberColumn,
        {
            "name": None,
            "low": None,
            "high": None,
            "dtype": "float32",
            "missing": "refuse",
            "constant": 0.0,
        },
    ),
    "category": (CategoryColumn, {"name": None, "values": None, "other": "refuse"}),
    "tensor": (
        TensorColumn,
        {"name": None, "shape": None, "low": None, "high": None, "dtype": "float32"},
    ),
    "label": (LabelColumn, {"name": None, "classes": None}),
    "target": (TargetColumn, {"name": None, "low": None, "high": None}),
}


def _list(value: object, what: str) -> list[Any]:
    if not isinstance(value, list | tuple) or not value:
        raise _refused(what, "a list that is not empty", type(value).__name__)
    return list(value)


def _names(value: object, what: str) -> tuple[str, ...]:
    return tuple(_text(one, what) for one in _list(value, what))


def _text(value: object, what: str) -> str:
    if not isinstance(value, str) or not value:
        raise _refused(what, "a text that is not empty", type(value).__name__)
    return value


def _refused(what: str, expected: str, got: str) -> JobRefused:
    return JobRefused(
        f"{what} of the job does not read", code="JOB_TERMS", expected=expected, got=got
    )
