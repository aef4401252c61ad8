"""Where a setting comes from: flag > environment > file > default, and which it was.

The file is ``~/.config/chiron/config.toml`` (or ``--config``, or ``CHIRON_CONFIG``)::

    bootstrap_servers = "kafka-1.example:9093,kafka-2.example:9093"

    [kafka]                                   # Kafka's own names, as in a client.properties
    "security.protocol" = "SASL_SSL"
    "sasl.mechanism" = "SCRAM-SHA-512"

What makes something less safe has no environment variable.
"""

from __future__ import annotations

import stat
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from chiron_stream.errors import ConfigurationRefused

SECRET_PROPERTIES: Final = frozenset({"sasl.jaas.config", "ssl.key.password"})
"""Kafka properties whose values are never printed, and that only the owner may read."""


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("a text that is not empty")
    return value


def _path(value: object) -> str:
    return str(Path(_text(value)).expanduser())


def _servers(value: object) -> str:
    text = _text(value)
    for server in text.split(","):
        host, colon, port = server.strip().rpartition(":")
        if not (host and colon and port.isdigit() and 0 < int(port) < 65536):
            raise ValueError("host:port, several separated by commas")
    return text


def _megabytes(value: object) -> int:
    number = int(value) if isinstance(value, str) and value.isdigit() else value
    if type(number) is not int or not 64 <= number <= 65536:
        raise ValueError("a whole number of MB from 64 to 65536")
    return number


@dataclass(frozen=True)
class Setting:
    """One setting: its name in the file, and what it is by default.

    The flag is ``--name-with-hyphens``; ``environment`` is a variable, or None where there is
    none.
    """

    name: str
    environment: str | None
    default: str | int
    check: Callable[[object], str | int]
    help: str

    @property
    def flag(self) -> str:
        """The command line's word for it."""
        return "--" + self.name.replace("_", "-")


SETTINGS: Final = (
    Setting(
        "bootstrap_servers",
        "CHIRON_BOOTSTRAP_SERVERS",
        "127.0.0.1:9092",
        _servers,
        "host:port of one or more Kafka brokers, separated by commas",
    ),
    Setting(
        "broker_directory",
        "CHIRON_BROKER_DIRECTORY",
        ".chiron/broker",
        _path,
        "data, log and state of the local broker",
    ),
    Setting(
        "cache",
        "CHIRON_CACHE",
        "~/.cache/chiron-stream",
        _path,
        "where Apache Kafka's jars are kept",
    ),
    Setting(
        "heap_mb",
        "CHIRON_HEAP_MB",
        512,
        _megabytes,
        "Java heap of the local broker, in MB",
    ),
)


@dataclass(frozen=True)
class Found:
    """A value and where it came from: ``flag …``, ``environment …``, ``file …`` or ``default``."""

    value: str | int
    origin: str


@dataclass(frozen=True)
class Settings:
    """Every setting resolved, and the Kafka client properties of the file."""

    found: Mapping[str, Found]
    kafka: Mapping[str, str]
    file: Path | None

    def shown(self) -> list[tuple[str, str, str]]:
        """Return name, value and origin of everything, secrets replaced, for people to look at."""
        rows = [(name, str(found.value), found.origin) for name, found in self.found.items()]
        for name, value in sorted(self.kafka.items()):
            hidden = "(set)" if name in SECRET_PROPERTIES else value
            rows.append((f"kafka: {name}", hidden, f"file {self.file}"))
        return rows

    def text(self, name: str) -> str:
        """Return a setting that is a text or a path."""
        return str(self.found[name].value)

    def number(self, name: str) -> int:
        """Return a setting that is a whole number."""
        return int(self.found[name].value)

    def path(self, name: str) -> Path:
        """Return a setting that is a path."""
        return Path(self.text(name)).expanduser()


def default_cache(environ: Mapping[str, str]) -> Path:
    """Return the cache that a process without flags and file uses."""
    setting = next(setting for setting in SETTINGS if setting.name == "cache")
    return Path(str(_resolve(setting, {}, environ, {}, None).value))


def resolve(flags: Mapping[str, object], environ: Mapping[str, str], file: str | None) -> Settings:
    """Resolve every setting.

    :param flags: values given on the command line, by setting; absent or None where not given.
    :param environ: the environment's variables.
    :param file: the ``--config`` flag.
    :raises ConfigurationRefused: a value or the file does not read, or others can read a secret.
    """
    path = _file(file, environ)
    table = _read(path) if path is not None else {}
    kafka = _kafka_properties(path, table.pop("kafka", {}))
    if unknown := set(table) - {setting.name for setting in SETTINGS}:
        raise ConfigurationRefused(
            f"{path} has a setting that is not known",
            expected=", ".join([*(setting.name for setting in SETTINGS), "[kafka]"]),
            got=", ".join(sorted(unknown)),
        )
    found = {setting.name: _resolve(setting, flags, environ, table, path) for setting in SETTINGS}
    return Settings(found, kafka, path)


def _file(flag: str | None, environ: Mapping[str, str]) -> Path | None:
    named = flag or environ.get("CHIRON_CONFIG")
    if named:
        return Path(named).expanduser()
    base = environ.get("XDG_CONFIG_HOME") or Path(environ.get("HOME", "~")) / ".config"
    usual = Path(base) / "chiron" / "config.toml"
    return usual if usual.exists() else None


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise ConfigurationRefused(f"there is no configuration file {path}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationRefused(
            f"{path} does not read", expected="a TOML file in UTF-8", got=str(error)
        ) from error


def _kafka_properties(path: Path | None, section: object) -> dict[str, str]:
    good = isinstance(section, dict) and all(isinstance(value, str) for value in section.values())
    if not isinstance(section, dict) or not good:
        raise ConfigurationRefused(
            f"the section [kafka] of {path} does not read",
            expected='lines of "kafka.property.name" = "text"',
            hint="quote the names: dots would make tables of them",
        )
    if path is not None and SECRET_PROPERTIES & set(section):
        _check_private(path)
    return section


def _check_private(path: Path) -> None:
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        raise ConfigurationRefused(
            f"{path} holds a secret and others may read it",
            code="CONFIGURATION_PERMISSIONS",
            expected="mode 0600",
            got=f"mode {mode:04o}",
            hint=f"run: chmod 600 {path}",
        )


def _resolve(
    setting: Setting,
    flags: Mapping[str, object],
    environ: Mapping[str, str],
    table: Mapping[str, object],
    path: Path | None,
) -> Found:
    variable = setting.environment
    sources: tuple[tuple[object, str], ...] = (
        (flags.get(setting.name), f"flag {setting.flag}"),
        (environ.get(variable) if variable else None, f"environment {variable}"),
        (table.get(setting.name), f"file {path}"),
        (setting.default, "default"),
    )
    value, origin = next((value, origin) for value, origin in sources if value is not None)
    try:
        return Found(setting.check(value), origin)
    except ValueError as error:
        raise ConfigurationRefused(
            f"the setting {setting.name} does not read ({origin})",
            expected=str(error),
            got=repr(value),
        ) from error
