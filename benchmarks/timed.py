"""Workers whose cores say what a round's time goes to: for benches, and for nothing else.

``python -m benchmarks.timed ROLE …`` is a courier whose core is ``python -m benchmarks.timed core
ROLE``: the real core, with a stop watch round some of its functions. Time inside a function that is
watched counts there and not outside, and only on the thread that works: the parts of a task add up
to its time. A core writes a line of JSON behind each task or merge, to its log.
"""

from __future__ import annotations

import functools
import importlib
import json
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from types import FunctionType
from typing import Any, Final

MARK: Final = "timed"
"""The key of the parts in a line of JSON."""

TRAINING, SEALING, KAFKA, JOURNAL, MERGE, WAITING, REST = (
    *("training", "sealing", "kafka", "journal", "merge", "waiting", "rest"),
)

REQUESTS: Final = {"Commit": JOURNAL, "Poll": WAITING}
"""What a request to the courier counts as; all others are reads and appends."""

Function = Callable[..., Any]


class Watch:
    """Seconds by part of the work."""

    def __init__(self) -> None:
        self._thread = threading.get_ident()
        self._inner: list[float] = []
        self._spent: defaultdict[str, float] = defaultdict(float)

    def over(self, function: Function, part: Callable[..., str] | str) -> Function:
        """Return the function, its time counted.

        :param part: or what says it, given the arguments.
        """

        @functools.wraps(function)
        def timed(*arguments: Any, **named: Any) -> Any:
            if threading.get_ident() != self._thread:
                return function(*arguments, **named)
            began = time.perf_counter()
            self._inner.append(0.0)
            try:
                return function(*arguments, **named)
            finally:
                seconds = time.perf_counter() - began
                name = part if isinstance(part, str) else part(*arguments, **named)
                self._spent[name] += seconds - self._inner.pop()
                if self._inner:
                    self._inner[-1] += seconds

        return timed

    def has(self, part: str) -> bool:
        """Return whether anything has been spent on a part since the last time."""
        return part in self._spent

    def take(self) -> dict[str, float]:
        """Return what has been spent since the last time."""
        spent, self._spent = self._spent, defaultdict(float)
        return dict(spent)


def install(role: str, watch: Watch) -> None:
    """Watch the core of a role in this process."""
    from chiron_stream.graph import training
    from chiron_stream.wire import crypto
    from enclave_workers.core import link, recipes

    shell = importlib.import_module(f"enclave_workers.core.{role}.shell")
    for function in vars(crypto).values():
        if isinstance(function, FunctionType) and function.__module__ == crypto.__name__:
            _replace(function, watch.over(function, SEALING))
    _replace(recipes.parameters_digest, watch.over(recipes.parameters_digest, SEALING))
    _replace(training.train_slot, watch.over(training.train_slot, TRAINING))
    _put(link.Link, "_ask", watch.over(link.Link._ask, _request))
    if role == "trainer":
        _put(shell.Trainer, "_take", _told(watch, shell.Trainer._take, TRAINING))
    if role == "coordinator":
        models = shell.ModelEffects
        _put(models, "merge", watch.over(models.merge, MERGE))
        for name in ("_journal", "_commit"):
            _put(shell.Coordinator, name, watch.over(getattr(shell.Coordinator, name), JOURNAL))
        _put(shell.Coordinator, "_turn", _told(watch, shell.Coordinator._turn, MERGE))


def _request(_link: object, request: object, _kind: object) -> str:
    return REQUESTS.get(type(request).__name__, KAFKA)


def _told(watch: Watch, function: Function, needed: str) -> Function:
    """Return the function; behind each call that did ``needed`` its parts are written down.

    What calls before it did that did not is in its line: the results of a round's other slots.
    """
    watched = watch.over(function, REST)

    def told(*arguments: Any) -> None:
        watched(*arguments)
        if watch.has(needed):
            parts = watch.take()
            parts.pop(WAITING, None)
            sys.stderr.write(json.dumps({MARK: parts}) + "\n")

    return told


def _replace(function: Function, other: Function) -> None:
    """Put another function in its place, under every name that our modules have for it."""
    for name, module in list(sys.modules.items()):
        if name.startswith(("chiron_stream.", "enclave_workers.")):
            for key, value in list(vars(module).items()):
                if value is function:
                    setattr(module, key, other)


def _put(kind: type, name: str, method: Function) -> None:
    setattr(kind, name, method)


def main(arguments: list[str]) -> int:
    """Run a courier, or its core."""
    if arguments[0] == "core":
        from enclave_workers.core.__main__ import main as core

        install(arguments[1], Watch())
        return core(arguments[1:])
    from enclave_workers.courier.__main__ import main as courier

    return courier(arguments, (sys.executable, "-m", "benchmarks.timed", "core"))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
