"""Who may touch the world: a courier through its effects module, a core through its one socket.

A module's uses of modules and functions that do I/O are found by name, wherever in it they stand.
Each exception is listed with its reason; an exception that nothing needs any more is refused too.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from enclave_workers.courier.effects import POINTS

ROOT = Path(__file__).parents[2]
COURIER = "enclave_workers.courier"
CORE = "enclave_workers.core"

IO_MODULES = {
    *("asyncio", "builtins", "concurrent", "ctypes", "datetime", "fcntl", "ftplib", "glob", "http"),
    *("importlib", "io", "logging", "mmap", "multiprocessing", "os", "pathlib", "pty", "random"),
    *("runpy", "secrets", "select", "selectors", "shelve", "shutil", "signal", "smtplib", "socket"),
    *("socketserver", "sqlite3", "ssl", "subprocess", "sys", "syslog", "tempfile", "threading"),
    *("time", "urllib", "uuid", "zipfile"),
    *("aiokafka", "confluent_kafka", "faust", "kafka", "mode", "psutil"),
    *("chiron_stream.broker", "chiron_stream.events", "chiron_stream.settings"),
    *("chiron_stream.simulation", "chiron_stream.local", "chiron_stream.clients"),
    *("numpy.fromfile", "numpy.load", "numpy.memmap", "numpy.save", "numpy.savez", "numpy.savetxt"),
    *("torch.load", "torch.save", "torch.hub", "torch.distributed", "torch.multiprocessing"),
}
BUILTINS = {"__import__", "breakpoint", "compile", "eval", "exec", "input", "open", "print"}
METHODS = {
    *("exists", "glob", "is_dir", "is_file", "iterdir", "mkdir", "open", "read_bytes", "read_text"),
    *("rename", "rglob", "rmdir", "stat", "symlink_to", "touch", "unlink", "write_bytes"),
    *("write_text", "write", "tofile"),
    *("accept", "bind", "connect", "listen", "makefile", "recv", "recv_into", "send_bytes"),
    *("sendall", "sendto", "settimeout", "setsockopt", "shutdown"),
}
"""Methods of files, paths and sockets, whatever they are called on."""

Exceptions = Mapping[str, Mapping[str, str]]

EVERYWHERE: Mapping[str, str] = {"os.urandom": "keys, secrets and ids: asks the processor, no one"}
"""In cores."""

ALLOWED: Exceptions = {
    f"{COURIER}.effects": {
        "chiron_stream.broker": "the broker: what this module is for",
        "time.time": "the clock that cores are told",
        "threading": "followed partitions are read ahead",
        "pathlib.Path": "the status file, and files that the operator named",
        ".read_bytes": "collateral for hardware quotes, from files that the operator named",
        ".write_text": "the status file",
        ".rename": "the status file",
    },
    f"{COURIER}.following": {
        "chiron_stream.broker": "what a reader and a record are",
        "threading": "followed partitions are read ahead",
    },
    f"{COURIER}.serving": {
        "socket": "the connection of its core",
        ".recv_into": "the connection of its core",
        ".sendall": "the connection of its core",
        "pathlib.Path": "names of files, for the effects to read",
    },
    f"{COURIER}.__main__": {
        "os": "environment, own process id, the pipe of its starter",
        "sys": "arguments, exit code, standard streams",
        "signal": "an orderly end",
        "socket": "listens for its core",
        ".accept": "listens for its core",
        ".settimeout": "listens for its core",
        ".setsockopt": "the connection of its core",
        ".shutdown": "ends its core",
        "subprocess": "starts its core",
        "threading": "watches its starter",
        "time.monotonic": "how long a core may take to connect",
        "time.time": "when the worker started",
        "pathlib.Path": "job file, and names of files for the effects",
        ".read_text": "job file, before there is a core",
        ".connect": "reaches the broker before the core starts",
        "chiron_stream.broker": "makes the broker and hands it to the effects",
        "chiron_stream.events": "the log",
        "chiron_stream.settings": "reads the user's configuration",
        "chiron_stream.simulation": "carries sealed bytes to the quoting service; measures files",
    },
    f"{COURIER}.watch": {
        "threading": "looks at signs of work beside the thread that serves the core",
        "time.monotonic": "how old a sign is",
        "time.time": "when the core last told of progress",
        "pathlib.Path": "the status file's name, for the effects",
        "chiron_stream.events": "the log",
    },
    f"{COURIER}.exporter": {
        "socket": "connections of who asks for metrics",
        "http": "reads their requests",
        "socketserver": "listens for them",
        "threading": "a thread for each, and not too many",
        "time.monotonic": "how long a request may take",
        "io": "hands a request that came whole to its parser",
        ".recv": "connections of who asks for metrics",
        ".settimeout": "connections of who asks for metrics",
        ".shutdown": "listens no more",
        ".write": "connections of who asks for metrics",
        "chiron_stream.events": "the log",
    },
    f"{COURIER}.predictor": {
        "chiron_stream.broker": "records, and what a group is",
    },
    f"{CORE}.link": {
        "socket": "the one connection of a core",
        ".recv_into": "the one connection of a core",
        ".sendall": "the one connection of a core",
        "threading": "one request at a time",
    },
    f"{CORE}.ahead": {"concurrent": "the next answer is asked for while one is used"},
    f"{CORE}.membership": {"threading": "a heart that beats while the core computes"},
    f"{CORE}.trainer.shell": {"threading": "trainers of one process draw in turns"},
    f"{CORE}.__main__": {
        "os": "the port of its courier, and the end with it",
        "sys": "arguments, exit code, standard error when it was called wrongly",
        "socket": "makes the one connection",
        ".setsockopt": "makes the one connection",
        "logging": "a core has no log",
    },
    f"{CORE}.tee.files": {
        "importlib": "finds its own files, to measure them",
        "pathlib.Path": "finds its own files, to measure them",
        ".rglob": "finds its own files, to measure them",
        ".read_bytes": "measures its own files",
    },
    f"{CORE}.tee.gramine": {
        "pathlib.Path": "Gramine's files below /dev/attestation",
        ".is_file": "Gramine's files below /dev/attestation",
        ".read_bytes": "Gramine's files below /dev/attestation",
        ".write_bytes": "Gramine's files below /dev/attestation",
    },
}
"""By module: a name, or a method behind a dot, and why. Modules to come may be listed before."""


WITHOUT_POINTS: Mapping[str, str] = {
    "place": "a name, no effect",
    "topic_of": "a name, no effect",
    "follow": "nothing happens until the next poll",
    "partitions": "a question that changes nothing: whoever dies with the answer asks again",
    "reading": "a question of telemetry, from another thread: the core never learns of it",
    "watermarks": "a question that changes nothing: whoever dies with the answer asks again",
    "contents": "files that nobody writes while a worker runs; for hardware quotes alone",
    "now": "the clock",
    "close": "the end of the courier",
}
"""Public methods of the effects that pass no point, and why."""


def imported(tree: ast.Module) -> dict[str, str]:
    """Return what each imported name of a source stands for."""
    found: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name.partition(".")[0]
                found[alias.asname or top] = alias.name if alias.asname else top
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "imports are absolute here"
            for alias in node.names:
                found[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return found


def inside(name: str, packages: Mapping[str, str] | set[str]) -> bool:
    return any(name == package or name.startswith(package + ".") for package in packages)


def dotted(node: ast.expr, names: Mapping[str, str]) -> str | None:
    """Return the whole name of an expression such as ``os.path.join``, aliases resolved."""
    if isinstance(node, ast.Name):
        return names.get(node.id)
    if isinstance(node, ast.Attribute):
        before = dotted(node.value, names)
        return None if before is None else f"{before}.{node.attr}"
    return None


def uses(source: str) -> Iterator[str]:
    """Yield the names of everything in a source that does I/O: a module's, or a method's."""
    tree = ast.parse(source)
    names = imported(tree)
    yield from (f"{one}" for one in names.values() if one.endswith(".*"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Name | ast.Attribute):
            name = dotted(node, names)
            if name is not None and inside(name, IO_MODULES):
                yield name
        if isinstance(node, ast.Name) and node.id in BUILTINS - set(names):
            yield from () if isinstance(node.ctx, ast.Store) else (node.id,)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            whole = dotted(node.func, names)
            if node.func.attr in METHODS and (whole is None or not inside(whole, IO_MODULES)):
                yield f".{node.func.attr}"


def bare(name: str, source_uses: set[str]) -> bool:
    """Tell whether a name is only the beginning of longer ones, as ``os`` is of ``os.urandom``."""
    return any(other.startswith(name + ".") for other in source_uses)


def reaching(source: str) -> Iterator[str]:
    """Yield each private attribute that is taken from another object: a way round its methods."""
    tree = ast.parse(source)
    own = {node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef)} | {"self", "cls"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr.startswith("_"):
            inner = node.value
            private = not node.attr.startswith("__")
            if private and not (isinstance(inner, ast.Name) and inner.id in own):
                yield f"another object's {node.attr}"


def violations(module: str, source: str, allowed: Exceptions = ALLOWED) -> list[str]:
    """Return what a module with this source does of I/O without being allowed to."""
    listed = {**allowed.get(module, {}), **(EVERYWHERE if inside(module, {CORE}) else {})}
    found = set(uses(source))
    refused = [one for one in found if not bare(one, found) and not inside(one, listed)]
    if inside(module, {COURIER}):
        refused += reaching(source)
    return sorted(f"{module}: {one}" for one in refused)


def modules() -> dict[str, str]:
    """Return the source of every module of couriers and cores."""
    found = {}
    for package in ("courier", "core"):
        for path in sorted((ROOT / "enclave_workers" / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(one for one in parts if one != "__init__")] = path.read_text()
    return found


def test_couriers_and_cores_do_no_io_but_through_effects_and_the_one_connection() -> None:
    found = modules()
    assert [one for name, source in found.items() for one in violations(name, source)] == []
    assert {f"{COURIER}.effects", f"{CORE}.link", f"{CORE}.coordinator.shell"} <= set(found)


@pytest.mark.parametrize(
    ("module", "name"), [(module, name) for module, names in ALLOWED.items() for name in names]
)
def test_every_exception_is_needed(module: str, name: str) -> None:
    source = modules().get(module)
    if source is not None:
        rest = {one: why for one, why in ALLOWED[module].items() if one != name}
        assert violations(module, source, {module: rest}), f"{module} does not use {name}"


def effects(source: str) -> Iterator[ast.FunctionDef]:
    """Yield the public methods of the class of effects."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ClassDef) and node.name == "Effects":
            for one in node.body:
                if isinstance(one, ast.FunctionDef) and not one.name.startswith("_"):
                    yield one


def points(tree: ast.AST) -> list[tuple[str, int]]:
    """Return the points that are passed somewhere in a tree, with their lines, in order."""
    found = [
        (str(node.args[0].value), node.lineno)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "_at"
        and isinstance(node.args[0], ast.Constant)
    ]
    return sorted(found, key=lambda one: one[1])


def misplaced(method: ast.FunctionDef) -> list[str]:
    """Return what is wrong with the points of an effect: none, in no pair, or one left out."""
    passed = points(method)
    if not passed:
        listed = method.name in WITHOUT_POINTS
        return [] if listed else [f"{method.name} has no point and is not listed"]
    if method.name in WITHOUT_POINTS:
        return [f"{method.name} is listed and has points"]
    (first, start), (last, end) = passed[0], passed[-1]
    name = first.partition(".")[0]
    found = [] if (first, last) == (f"{name}.before", f"{name}.after") else [f"{first} to {last}"]
    returns = [node.lineno for node in ast.walk(method) if isinstance(node, ast.Return)]
    early = [f"{method.name} returns before {last}" for line in returns if start < line < end]
    return found + early


def test_points_of_the_effects_module_are_those_that_are_registered() -> None:
    passed = [name for name, _ in points(ast.parse(modules()[f"{COURIER}.effects"]))]
    assert sorted(passed) == sorted(POINTS)


def test_every_effect_stands_between_its_points_or_is_listed_without() -> None:
    methods = list(effects(modules()[f"{COURIER}.effects"]))
    assert [fault for one in methods for fault in misplaced(one)] == []
    assert set(WITHOUT_POINTS) <= {one.name for one in methods}


@pytest.mark.parametrize(
    "body",
    [
        "def peek(self): return self._broker.peek()",
        "def now(self):\n  self._at('now.before')\n  self._at('now.after')",
        "def peek(self):\n  self._at('peek.before')\n  return 1",
        "def peek(self):\n  self._at('peek.before')\n  self._at('poll.after')",
        "def peek(self):\n  self._at('peek.before')\n  if self: return 1\n  self._at('peek.after')",
    ],
    ids=["no point", "listed and pointed", "no end", "another end", "early return"],
)
def test_lint_notices_an_effect_whose_points_are_wrong(body: str) -> None:
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    (method,) = effects(f"class Effects:\n{lines}")
    assert misplaced(method)


@pytest.mark.parametrize(
    ("module", "source"),
    [
        (f"{COURIER}.serving", "import time\ntime.sleep(1)"),
        (f"{COURIER}.serving", "from time import sleep as pause\npause(1)"),
        (f"{COURIER}.serving", "open('/tmp/x')"),
        (f"{COURIER}.serving", "def f(path):\n    path.write_bytes(b'')"),
        (f"{COURIER}.serving", "from chiron_stream.broker.kafka import KafkaBroker\nKafkaBroker"),
        (f"{COURIER}.serving", "import chiron_stream.broker.kafka\nchiron_stream.broker.kafka.x()"),
        (f"{COURIER}.serving", "def f(effects):\n    effects._broker.producer()"),
        (f"{COURIER}.serving", "import faust\nfaust.App('x')"),
        (f"{COURIER}.trainer", "import socket\nsocket.create_connection(('h', 1))"),
        (f"{COURIER}.effects", "import time\ntime.sleep(1)"),
        (f"{COURIER}.effects", "import socket\nsocket.socket()"),
        (f"{COURIER}.__main__", "import kafka\nkafka.KafkaProducer()"),
        (f"{COURIER}.predictor", "from kafka import KafkaProducer\nKafkaProducer()"),
        (f"{CORE}.link", "import os\nos.write(1, b'')"),
        (f"{CORE}.boot", "import os\nos.environ['HOME']"),
        (f"{CORE}.boot", "from os import environ\nenviron['HOME']"),
        (f"{CORE}.boot", "from os import *\nurandom(1)"),
        (f"{CORE}.trainer.shell", "print('a row')"),
        (f"{CORE}.trainer.shell", "import torch\ntorch.save({}, 'x')"),
        (f"{CORE}.trainer.shell", "import numpy as np\nnp.load('x')"),
        (f"{CORE}.trainer.shell", "def f(array):\n    array.tofile('x')"),
        (f"{CORE}.coordinator.shell", "from time import time\ntime()"),
        (f"{CORE}.coordinator.shell", "from pathlib import Path\nPath('x').read_bytes()"),
        (f"{CORE}.coordinator.shell", "import logging\nlogging.warning('x')"),
        (f"{CORE}.predictor.shell", "import threading\nthreading.Thread()"),
    ],
)
def test_lint_notices_a_violation(module: str, source: str) -> None:
    assert violations(module, source)


@pytest.mark.parametrize(
    ("module", "source"),
    [
        (f"{CORE}.boot", "import os\nos.urandom(32)"),
        (f"{CORE}.link", "import socket\ndef f(one: socket.socket):\n    one.sendall(b'')"),
        (f"{CORE}.trainer.shell", "import numpy as np\nnp.concatenate([])"),
        (f"{COURIER}.predictor", "from chiron_stream.broker import groups"),
        (f"{COURIER}.serving", "class Server:\n    def _f(self): self._effects.read()\nServer._f"),
    ],
)
def test_lint_lets_pass_what_is_listed(module: str, source: str) -> None:
    assert violations(module, source) == []
