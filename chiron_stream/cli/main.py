"""``chiron``: finds the noun, loads its module, turns errors into sentences and exit codes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Final

from chiron_stream.cli.output import Output
from chiron_stream.errors import BugFound, ChironError

INTERRUPTED: Final = 130

NOUNS: Final = {
    "init": "make a SIMULATED job of one's own: keys for all parties, a signed policy",
    "up": "start a job's processes, or a local Apache Kafka alone, until Ctrl-C",
    "down": "stop the job, or the local Apache Kafka, that runs in a directory",
    "status": "show how far a job is, by its signed checkpoints and its workers here",
    "publish": "check, seal and send the rows of a file or a pipe as a data set",
    "bridge": "a topic of your own cluster: its rows sealed into a data set, or asked about",
    "predict": "ask about one row or a file of them: sealed queries, sealed answers",
    "answers": "read the answers to what was asked with a state, from a cursor on",
    "logs": "show what a job's processes on this machine wrote; --follow for what they write",
    "verify": "verify a job's receipts; with --replay compute its parameters again",
    "doctor": "check this machine, and a job from here: what is wrong, and what to do",
    "job": "verify a job file; show its terms",
    "recipe": "a provider's recipe: explain, rehearse at home, publish, status",
    "key": "make a party's identity; show its public line for the roster",
    "worker": "run one enclave worker, courier and core",
    "topics": "compare the topic catalogue with a broker: plan, apply, check",
    "config": "show every setting and where its value comes from",
}
"""Noun and summary; each noun's module is ``chiron_stream.cli.<noun>``."""


def entry() -> None:
    """Run the command line and exit with its code."""
    sys.exit(main(sys.argv[1:]))


def main(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code."""
    if not arguments or arguments[0] in ("-h", "--help"):
        sys.stdout.write(_help())
        return 0 if arguments else 2
    if arguments[0] == "--version":
        from importlib.metadata import version

        sys.stdout.write(f"chiron {version('chiron-stream')}\n")
        return 0
    noun, rest = arguments[0], arguments[1:]
    if noun not in NOUNS:
        sys.stderr.write(
            f"chiron: error: no command {noun!r} [USAGE]\nchiron: hint: chiron --help\n"
        )
        return 2
    run: Callable[[Sequence[str]], int] = import_module(f"chiron_stream.cli.{noun}").run
    return _guarded(run, rest)


def _guarded(run: Callable[[Sequence[str]], int], rest: Sequence[str]) -> int:
    output = Output(as_json="--json" in rest)
    try:
        return run(rest)
    except KeyboardInterrupt:
        output.note("chiron: interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        return 1  # whoever read our output has gone
    except ChironError as error:
        output.error(_with_hint(error))
        if "--traceback" in rest:
            raise
        return error.exit_code
    except Exception as error:
        output.error(
            BugFound(
                f"{type(error).__name__}: this is a bug in chiron-stream",
                hint="please report it, with the output of the same command with --traceback",
            )
        )
        if "--traceback" in rest:
            raise
        return BugFound.exit_code


_HINTS: Final = {
    "SIMULATION": "--insecure-simulation accepts it: nothing is confidential then",
    "RECIPE_TAKEN": "a job has one recipe for life; for another one: chiron init NAME",
}
"""Hints for those who type commands, where a library's caller gets another, by code."""


def _with_hint(error: ChironError) -> ChironError:
    error.hint = _HINTS.get(error.code, error.hint)
    return error


def _help() -> str:
    nouns = "".join(f"  {noun:8} {summary}\n" for noun, summary in NOUNS.items())
    return (
        "usage: chiron COMMAND [FLAGS]\n\n"
        "Confidential, log-driven machine learning over Apache Kafka.\n\n"
        f"commands:\n{nouns}\n"
        "chiron COMMAND --help explains a command; chiron --version prints the version.\n"
    )
