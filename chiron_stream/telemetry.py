"""What a worker shows of itself, to whoever asks: one allow-list.

A worker's status file, ``/healthz``, ``/metrics`` and log take their fields from :data:`ALLOWED`;
any other is refused. Counts of rounds, slots, shards and workers, states, times: never rows, sizes
or values, and no rate but rounds a second. Records are padded so that rows do not show.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from chiron_stream.errors import BugFound

Plain = bool | int | float | str
Shown = Plain | dict[str, int]
"""What a field may hold; a table counts by topic."""

OTHER: Final = "other"
"""Stands for a word that this version does not know."""

ROLES: Final = ("coordinator", "trainer", "predictor")
STATES: Final = ("starting", "joining", "ready", "waiting", "training", "finished")
WAITING: Final = (
    *("", "coordinator", "recipe", "import", "data-sets", "parked-shards", "shards"),
    *("full-window", "trainer", "numerics-class"),
)
"""What a job or worker may wait for; ``docs/operating.md`` says what each means."""

GREEN: Final = "green"
RED: Final = "red"
REASONS: Final = ("", "no-progress", "silent", "broker", "behind", "no-status")
"""Why a worker is red; ``docs/telemetry.md`` says what each means."""

_ADDRESS: Final = re.compile(r"(?:|\[?[0-9a-f.:]{2,45}\]?:[0-9]{1,5})")
_TOPIC: Final = re.compile(r"[a-z-]{1,40}")


@dataclass(frozen=True)
class Field:
    """One thing that is shown.

    :param metric: its name for Prometheus; empty: it is part of ``chiron_worker_state`` or nowhere.
    :param words: what a text may be; none for an address.
    :param roles: whose it is.
    :param logged: goes into the event ``worker.progress``.
    """

    name: str
    type: type
    help: str
    metric: str = ""
    words: tuple[str, ...] = ()
    roles: tuple[str, ...] = ROLES
    logged: bool = False


def _of_job(name: str, help: str, metric: str = "") -> Field:  # noqa: A002  (Prometheus' word)
    named = f"chiron_job_{metric or name}"
    return Field(name, int, help, named, roles=("coordinator",), logged=True)


def _shards(name: str, help: str) -> Field:  # noqa: A002
    return _of_job(name, help, f"shards_{name}")


ALLOWED: Final = (
    Field("role", str, "What the worker is.", words=ROLES, logged=True),
    Field("pid", int, "Process id of its courier."),
    Field("metrics", str, "Where /metrics and /healthz are."),
    Field("state", str, "What it is at.", words=STATES, logged=True),
    Field("waiting_for", str, "What it waits for.", words=WAITING, logged=True),
    Field("health", str, "Its light.", words=(GREEN, RED)),
    Field("reason", str, "Why it is red.", words=REASONS),
    Field("healthy", bool, "1 when it is green.", "chiron_worker_healthy"),
    Field("busy", bool, "1 while it has work that was given to it.", "chiron_worker_busy"),
    Field("started", float, "When it started, Unix time.", "chiron_worker_start_time_seconds"),
    Field(
        "last_progress",
        float,
        "When its core last told of progress, Unix time.",
        "chiron_worker_last_progress_timestamp_seconds",
    ),
    Field("lag", dict, "Records of followed topics that it has not read.", "chiron_worker_lag"),
    Field(
        "tasks",
        int,
        "Tasks that it took since it started.",
        "chiron_worker_tasks_total",
        roles=("trainer", "predictor"),
    ),
    Field(
        "serves", int, "The release that it serves.", "chiron_worker_serves", roles=("predictor",)
    ),
    Field(
        "rounds_per_second",
        float,
        "Rounds a second over the last minute.",
        "chiron_job_rounds_per_second",
        roles=("coordinator",),
    ),
    _of_job("epoch", "Coordinators so far."),
    _of_job("round", "Rounds begun."),
    _of_job("open_slots", "Slots of the round at hand without a result."),
    _of_job("version", "Newest version of the parameters."),
    _of_job("release", "Newest release to predictors."),
    _shards("accepted", "Shards accepted."),
    _shards("waiting", "Shards accepted, for training, and not trained."),
    _shards("trained", "Shards trained."),
    _shards("void", "Shards with invalid content."),
    _shards("parked", "Shards missing or altered."),
    _of_job("trainers", "Trainers alive."),
    _of_job("predictors", "Predictors alive."),
    _of_job("quarantined", "Trainers quarantined."),
)
"""Everything that may be shown."""

FIELDS: Final[Mapping[str, Field]] = {one.name: one for one in ALLOWED}
LOGGED: Final[Mapping[str, type]] = {one.name: one.type for one in ALLOWED if one.logged}
"""The fields of the event ``worker.progress``, with their types."""


def word(name: str, value: str) -> str:
    """Return a word that may be shown, :data:`OTHER` for one that is not known."""
    return value if value in FIELDS[name].words else OTHER


def checked(fields: Mapping[str, Shown]) -> dict[str, Shown]:
    """Return fields that may be shown.

    :raises BugFound: a field, its type or its value is not allowed; no value is in the message.
    """
    for name, value in fields.items():
        field = FIELDS.get(name)
        if field is None:
            raise _refused(name, "it is not declared")
        if type(value) is not field.type:
            raise _refused(name, f"it is not of type {field.type.__name__}")
        if not _plain(field, value):
            raise _refused(name, "its value is none of those that it may have")
    return dict(fields)


def _plain(field: Field, value: Shown) -> bool:
    if isinstance(value, str):
        return value in (*field.words, OTHER) if field.words else bool(_ADDRESS.fullmatch(value))
    if isinstance(value, dict):
        return all(_TOPIC.fullmatch(name) and type(n) is int for name, n in value.items())
    return 0 <= value < 2**64


def _refused(name: str, why: str) -> BugFound:
    return BugFound(f"the field {name[:40]} may not be shown: {why}", code="EVENT")
