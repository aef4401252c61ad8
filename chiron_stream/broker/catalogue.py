"""The topic catalogue: one declarative file a topic, read strictly.

The files are package data (``chiron_stream/topics``; ``topics/`` in a checkout), and
``topics/README.md`` documents their keys. Reading refuses whatever it does not know: a misspelt
key must not quietly become a default.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any, Final

from chiron_stream.broker.records import VALUE_LIMIT, TopicState
from chiron_stream.errors import CatalogueRefused, UsageRefused

MAX_PARTITIONS: Final = 1000
_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,63}")
_JOB: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
_DAY_MS: Final = 24 * 60 * 60 * 1000
_TEN_MINUTES_MS: Final = 10 * 60 * 1000
_FOREVER: Final = -1

_RETENTION_AND_SEGMENT_MS: Final = {
    "working": (7 * _DAY_MS, _DAY_MS),
    "retained": (_FOREVER, 7 * _DAY_MS),
    "kept": (_FOREVER, 7 * _DAY_MS),
    "short": (_TEN_MINUTES_MS, _TEN_MINUTES_MS),
}
WRITERS: Final = (
    "clients",
    "coordinator",
    "couriers",
    "owners",
    "parties",
    "predictors",
    "providers",
    "trainers",
    "workers",
)
READERS: Final = (*WRITERS, "anyone", "auditors")


@dataclass(frozen=True)
class Topic:
    """One topic of the catalogue; the fields are the keys of its file, and its name.

    ``value_limit`` is in bytes.
    """

    name: str
    summary: str
    key: str
    partitions: int
    cleanup: str
    value_limit: int
    writer: str
    transactional: bool
    readers: tuple[str, ...]

    def on_broker(self, job: str) -> str:
        """Return the topic's name on the broker: ``chiron.<job>.<name>``.

        :raises UsageRefused: ``job`` cannot be part of a topic's name.
        """
        if not _JOB.fullmatch(job):
            raise UsageRefused(
                "not the name of a job",
                code="JOB_NAME",
                expected="1 to 64 lower-case letters, digits and hyphens, no hyphen first",
                got=repr(job),
            )
        return f"chiron.{job}.{self.name}"

    def wished(self, replication_factor: int | None = None) -> TopicState:
        """Return partitions and settings that a broker should have for this topic.

        :param replication_factor: copies; ``None`` leaves it to the broker. From three on, two
            in-sync copies are asked for, so that an acknowledged record outlives any one broker.
        """
        retention, segment = _RETENTION_AND_SEGMENT_MS[self.cleanup]
        settings = {
            "cleanup.policy": "delete",
            "compression.type": "uncompressed",  # whatever codec a writer chose, readers need none
            "max.message.bytes": "1048588",
            "message.timestamp.type": "CreateTime",
            "retention.bytes": "-1",
            "retention.ms": str(retention),
            "segment.ms": str(segment),
            "unclean.leader.election.enable": "false",
        }
        if replication_factor is not None:
            settings["min.insync.replicas"] = "2" if replication_factor > 2 else "1"
        return TopicState(self.partitions, replication_factor, settings)


@dataclass(frozen=True)
class Catalogue:
    """All topics by name."""

    topics: Mapping[str, Topic]

    def value_limit(self, on_broker: str) -> int:
        """Return the largest value of a topic, in bytes, by its name on the broker.

        Topics that are not of the catalogue may hold :data:`VALUE_LIMIT`.
        """
        topic = self.topics.get(on_broker.rpartition(".")[2])
        return VALUE_LIMIT if topic is None else topic.value_limit


def load_catalogue(folder: Traversable | None = None) -> Catalogue:
    """Read every ``*.toml`` of the catalogue.

    :param folder: another folder than the installed one, for tests.
    :raises CatalogueRefused: a file does not read; the message names file and key.
    """
    source = folder or files("chiron_stream") / "topics"
    found = [entry for entry in source.iterdir() if entry.name.endswith(".toml")]
    topics = [_read(entry) for entry in sorted(found, key=lambda entry: entry.name)]
    if not topics:
        raise CatalogueRefused(
            "the topic catalogue is empty",
            code="CATALOGUE_EMPTY",
            expected="at least one .toml file",
            got=str(source),
            hint="install chiron-stream again",
        )
    return Catalogue({topic.name: topic for topic in topics})


def _read(entry: Traversable) -> Topic:
    name = entry.name.removesuffix(".toml")
    try:
        table = tomllib.loads(entry.read_bytes().decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise _refused(entry.name, None, "a TOML file in UTF-8", str(error)) from error
    if not _NAME.fullmatch(name):
        raise _refused(entry.name, None, "a name of lower-case letters, digits, hyphens", name)
    _check_keys(entry.name, table)
    for key, (check, expected) in _CHECKS.items():
        if not check(table[key]):
            raise _refused(entry.name, key, expected, repr(table[key]))
    return Topic(name=name, **{**table, "readers": tuple(table["readers"])})


def _check_keys(file: str, table: Mapping[str, Any]) -> None:
    missing, unknown = set(_CHECKS) - set(table), set(table) - set(_CHECKS)
    if missing or unknown:
        raise _refused(
            file,
            None,
            f"the keys {', '.join(sorted(_CHECKS))}",
            f"missing: {_listed(missing)}; unknown: {_listed(unknown)}",
        )


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"


def _refused(file: str, key: str | None, expected: str, got: str) -> CatalogueRefused:
    where = f"the topic file {file}" if key is None else f"{key} in the topic file {file}"
    return CatalogueRefused(
        f"{where} does not read",
        code="CATALOGUE_FILE",
        expected=expected,
        got=got,
        hint="topics/README.md documents the keys; an installed file: install chiron-stream again",
    )


def _text(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 200


def _whole(value: object, most: int) -> bool:
    return type(value) is int and 1 <= value <= most


def _reader_list(value: object) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(word, str) and word in READERS for word in value)
        and len(set(value)) == len(value)
    )


_CHECKS: Final[dict[str, tuple[Any, str]]] = {
    "summary": (_text, "a text of 1 to 200 characters"),
    "key": (_text, "a text of 1 to 200 characters"),
    "partitions": (lambda v: _whole(v, MAX_PARTITIONS), f"a number from 1 to {MAX_PARTITIONS}"),
    "cleanup": (
        lambda v: isinstance(v, str) and v in _RETENTION_AND_SEGMENT_MS,
        f"one of {', '.join(_RETENTION_AND_SEGMENT_MS)}",
    ),
    "value_limit": (lambda v: _whole(v, VALUE_LIMIT), f"a number of bytes from 1 to {VALUE_LIMIT}"),
    "writer": (
        lambda v: isinstance(v, str) and v in WRITERS,
        f"one of {', '.join(WRITERS)}",
    ),
    "transactional": (lambda v: isinstance(v, bool), "true or false"),
    "readers": (_reader_list, f"a list without doubles of {', '.join(READERS)}"),
}
