"""Flags that every command has, and what they resolve to."""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass
from typing import Final, NoReturn

from chiron_stream.cli.output import Output
from chiron_stream.errors import UsageRefused
from chiron_stream.settings import SETTINGS, Settings, resolve

EXIT_CODES: Final = (
    "exit codes: 0 ok, 1 failed, 2 usage, 3 time-out, 4 cannot connect, 5 not authorised, "
    "6 evidence, 7 integrity, 8 policy, 9 fenced, 70 bug, 130 interrupted"
)
"""What every ``--help`` ends with; the table is in ``docs/errors.md``."""


@dataclass(frozen=True)
class Context:
    """What a command gets: its flags, all settings, and where to print."""

    flags: argparse.Namespace
    settings: Settings
    output: Output


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are like all others: a code, a hint, an envelope for programs."""

    def error(self, message: str) -> NoReturn:
        raise UsageRefused(f"{self.prog}: {message}", hint=f"{self.prog} --help")


def parser(noun: str, summary: str) -> argparse.ArgumentParser:
    """Return a parser with the flags that every command has."""
    made = _Parser(
        prog=f"chiron {noun}",
        description=summary,
        epilog=EXIT_CODES,
    )
    common = made.add_argument_group("flags of every command")
    common.add_argument("--json", action="store_true", help="print JSON lines")
    common.add_argument("--traceback", action="store_true", help="show where an error arose")
    common.add_argument("--config", metavar="FILE", help="configuration file (CHIRON_CONFIG)")
    for setting in SETTINGS:
        origin = f"{setting.environment}, " if setting.environment else ""
        common.add_argument(
            setting.flag,
            metavar="VALUE",
            help=f"{setting.help} ({origin}default {setting.default})",
        )
    return made


def context(flags: argparse.Namespace) -> Context:
    """Return what a command gets for these flags.

    :raises ConfigurationRefused: a flag, variable or file does not read.
    """
    given = {setting.name: getattr(flags, setting.name) for setting in SETTINGS}
    return Context(flags, resolve(given, os.environ, flags.config), Output(as_json=flags.json))
