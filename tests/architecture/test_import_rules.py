"""Trust boundaries are folders: who may import what (docs/architecture.md)."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("chiron_stream", "enclave_workers")

PURE = (
    "chiron_stream.wire",
    "chiron_stream.job",
    "chiron_stream.attestation",
    "chiron_stream.graph",
)
STEP = "enclave_workers.core.coordinator"
STEP_SHELL = tuple(
    f"{STEP}.{name}"
    for name in (
        *("shell", "history", "importing", "updates", "merging", "cutting", "emission"),
        "presence",
    )
)
"""What is around the coordinator's ``step``; everything else in its folder is pure."""
CORE = "enclave_workers.core"
CORE_MAY_IMPORT = (
    "chiron_stream.wire",
    "chiron_stream.job",
    "chiron_stream.attestation",
    "chiron_stream.graph",
    "chiron_stream.errors",
    "enclave_workers.core",
)
IMPURE = {
    *("asyncio", "concurrent", "datetime", "io", "logging", "multiprocessing", "os", "pathlib"),
    *("random", "secrets", "select", "shutil", "signal", "socket", "subprocess", "sys"),
    *("tempfile", "threading", "time", "uuid"),
}
ONLY_IN = {
    "kafka": ("chiron_stream.broker.kafka",),
    "aiokafka": (),
    "confluent_kafka": (),
    "faust": ("chiron_stream.bridge",),
    "torch": (
        "chiron_stream.graph",
        "chiron_stream.recipe",
        "chiron_stream.local.example",
        "enclave_workers.core.trainer",
        "enclave_workers.core.predictor",
    ),
    "pyarrow": ("chiron_stream.sources.parquet",),
    "pickle": (),
    "marshal": (),
    "shelve": (),
}


def imports(source: str) -> Iterator[str]:
    """Yield every absolute module name that a source imports, anywhere in it."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "imports are absolute here"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def inside(name: str, packages: tuple[str, ...]) -> bool:
    return any(name == package or name.startswith(package + ".") for package in packages)


def violations(module: str, source: str) -> list[str]:
    """Return the rules that a module with this source breaks."""
    found = []
    for name in imports(source):
        top = name.partition(".")[0]
        if top in ONLY_IN and not inside(module, ONLY_IN[top]):
            found.append(f"{module} imports {top}")
        if inside(module, PURE) and top in IMPURE:
            found.append(f"{module} is pure and imports {top}")
        pure_step = inside(module, (STEP,)) and not inside(module, STEP_SHELL)
        if pure_step and (top in IMPURE or top in ("torch", "numpy")):
            found.append(f"{module} belongs to the pure step and imports {top}")
        if pure_step and inside(name, STEP_SHELL):
            found.append(f"{module} belongs to the pure step and imports {name}")
        ours = top in PACKAGES
        if inside(module, (CORE,)) and ours and not inside(name, CORE_MAY_IMPORT):
            found.append(f"{module} is trusted and imports {name}")
        if inside(module, ("chiron_stream",)) and top == "enclave_workers":
            found.append(f"{module} imports {name}")
        if inside(module, PURE) and ours and not inside(name, (*PURE, "chiron_stream.errors")):
            found.append(f"{module} is pure and imports {name}")
    return found


def modules() -> Iterator[tuple[str, Path]]:
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            yield ".".join(part for part in parts if part != "__init__"), path


def test_every_module_keeps_the_rules() -> None:
    checked = 0
    for module, path in modules():
        assert violations(module, path.read_text()) == []
        checked += 1
    assert checked > 30


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("chiron_stream.clients.owner", "import kafka"),
        ("chiron_stream.clients.owner", "def f():\n    from kafka import KafkaProducer"),
        ("chiron_stream.broker.memory.log", "import kafka.errors"),
        ("chiron_stream.broker.kafkaesque", "import kafka"),
        ("chiron_stream.wire.session", "import time"),
        ("chiron_stream.wire.session", "from os import urandom"),
        ("chiron_stream.attestation.appraisal", "from datetime import datetime"),
        ("chiron_stream.wire.session", "from chiron_stream.broker import seam"),
        ("chiron_stream.cli.up", "import torch"),
        ("chiron_stream.cli.up", "from enclave_workers import local"),
        ("enclave_workers.core.trainer.slot", "from chiron_stream.broker.records import Record"),
        ("enclave_workers.core.loop", "from chiron_stream import broker"),
        ("enclave_workers.core.loop", "from enclave_workers.courier import socket_end"),
        ("chiron_stream.wire.session", "import pickle"),
        ("chiron_stream.sources.files", "import pyarrow.parquet"),
        ("chiron_stream.graph.interpreter", "import os"),
        ("enclave_workers.core.coordinator.planning", "import time"),
        ("enclave_workers.core.coordinator.step", "import torch"),
        ("enclave_workers.core.coordinator.rounds", "import numpy as np"),
        (
            "enclave_workers.core.coordinator.rounds",
            "from enclave_workers.core.coordinator import shell",
        ),
    ],
)
def test_rule_notices_a_violation(module: str, source: str) -> None:
    assert violations(module, source)


def test_rule_lets_a_core_import_what_it_needs() -> None:
    source = "import os\nimport torch\nfrom chiron_stream.wire import canonical\n"
    assert violations("enclave_workers.core.trainer.slot", source) == []


@pytest.mark.parametrize("module", ["chiron_stream", "chiron_stream.wire.canonical"])
def test_import_loads_neither_torch_nor_faust_nor_kafka(module: str) -> None:
    code = (
        f"import sys, {module}; "
        "print([m for m in ('torch', 'faust', 'kafka', 'numpy') if m in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


@pytest.mark.parametrize("noun", ["--help", "config"])
def test_command_without_broker_loads_no_kafka_client(noun: str) -> None:
    code = (
        f"import sys; from chiron_stream.cli.main import main; main([{noun!r}]); "
        "print('kafka' in sys.modules, file=sys.stderr)"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stderr.strip() == "False"
