"""What the kernel says of a core that serves: one connection, to its courier, and nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.jobs import jobs, processes
from tests.jobs.conftest import Finished
from tests.jobs.processes import ESTABLISHED, Pair

pytestmark = pytest.mark.kafka

ROLES = ("coordinator", "trainer", "predictor")
ROOT = Path(__file__).parents[2]
ALLOCATOR = {"MALLOC_TRIM_THRESHOLD_": "4294967296", "MALLOC_MMAP_THRESHOLD_": "1073741824"}
ALLOWED = {"PATH", "HOME", "LANG", "CHIRON_COURIER_PORT", *ALLOCATOR}
KEPT_OUT = ("kafka", "crc32c", "faust", "aiokafka", "confluent_kafka", "psutil")
LOADED = """
import importlib, json, sys
from enclave_workers.core import __main__
for role in ("coordinator", "trainer", "predictor"):
    importlib.import_module(f"enclave_workers.core.{role}.shell")
from enclave_workers.core import recipes
from chiron_stream.graph import checker, prediction, training
print(json.dumps(sorted(sys.modules)))
"""


@pytest.fixture(params=ROLES)
def worker(request: pytest.FixtureRequest, finished: Finished) -> Pair:
    """Courier and core of each role, while they serve a job that has been trained."""
    told = jobs.progress(finished.directory, f"{request.param}-0")
    assert told["state"] in ("ready", "finished")
    return processes.pair(told["pid"])


def address(port: int) -> str:
    """Return 127.0.0.1 and a port as /proc/net/tcp writes them."""
    return f"0100007F:{port:04X}"


def test_core_has_one_socket_and_it_leads_to_its_courier(worker: Pair) -> None:
    port = int(processes.environment(worker.core.pid)["CHIRON_COURIER_PORT"])
    (only,) = processes.tcp_sockets(worker.core.pid)
    assert (only.remote, only.state) == (address(port), ESTABLISHED)
    ends = [(one.local, one.remote) for one in processes.tcp_sockets(worker.courier.pid)]
    assert (only.remote, only.local) in ends


def test_courier_has_the_connections_to_kafka_that_its_core_has_not(
    worker: Pair, finished: Finished
) -> None:
    port = int(finished.directory.job().bootstrap_servers.rpartition(":")[2])

    def to_kafka(pid: int) -> list[str]:
        found = [one.remote for one in processes.tcp_sockets(pid)]
        return [one for one in found if one == address(port)]

    assert to_kafka(worker.courier.pid)
    assert not to_kafka(worker.core.pid)


def test_core_has_no_open_file_but_its_socket_and_a_log_to_write_to(worker: Pair) -> None:
    files = processes.open_files(worker.core.pid)
    sockets = [link for link in files.values() if link.startswith("socket:")]
    assert len(sockets) == 1
    assert files.pop(0) == os.devnull
    outputs = {files.pop(1), files.pop(2)}
    assert all(one.endswith(".log") for one in outputs)
    rest = [link for link in files.values() if not link.startswith(("socket:", "anon_inode:"))]
    assert rest == []


def test_core_has_started_no_process(worker: Pair) -> None:
    assert psutil.Process(worker.core.pid).children(recursive=True) == []


def test_core_has_mapped_no_file_but_libraries_of_python_and_of_what_it_may_import(
    worker: Pair,
) -> None:
    mapped = processes.mapped_files(worker.core.pid)
    assert any("/torch/" in one for one in mapped), "the control: something is seen"
    assert not [one for one in mapped if any(f"/{name}" in one for name in KEPT_OUT)]
    run = str(worker.core.cwd())
    assert not [one for one in mapped if one.startswith((run + "/tests", run + "/topics"))]


def test_courier_shows_that_a_kafka_client_would_be_seen(worker: Pair) -> None:
    assert [one for one in processes.mapped_files(worker.courier.pid) if "/crc32c" in one]


def test_core_knows_nothing_of_the_environment_but_what_python_needs_and_its_port(
    worker: Pair,
) -> None:
    names = set(processes.environment(worker.core.pid))
    assert {name for name in names if not name.startswith("OPENBLAS_")} <= ALLOWED
    assert "CHIRON_COURIER_PORT" in names


def test_core_keeps_the_memory_that_it_frees(worker: Pair) -> None:
    found = processes.environment(worker.core.pid)
    assert {name: found.get(name) for name in ALLOCATOR} == ALLOCATOR


def test_command_line_of_a_core_says_its_role_and_nothing_else(worker: Pair) -> None:
    assert worker.core.cmdline()[1:-1] == ["-m", "enclave_workers.core"]
    assert worker.core.cmdline()[-1] in ROLES


def test_modules_of_a_core_hold_no_kafka_client_no_faust_and_no_party() -> None:
    shown = subprocess.run(
        [sys.executable, "-c", LOADED], cwd=ROOT, capture_output=True, text=True, check=True
    )
    loaded = json.loads(shown.stdout)
    assert {"torch", "enclave_workers.core.trainer.shell"} <= set(loaded)
    ours = ("broker", "clients", "cli", "local", "recipe", "simulation", "sources")
    outside = (*KEPT_OUT, "enclave_workers.courier", *(f"chiron_stream.{one}" for one in ours))
    assert not [name for name in loaded if any(f"{name}.".startswith(f"{one}.") for one in outside)]
