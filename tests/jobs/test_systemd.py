"""The command of the systemd unit, as systemd would start it, runs a worker; so does its end."""

from __future__ import annotations

import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from chiron_stream.broker.local import LocalKafka
from chiron_stream.local.running import RunningJob
from tests.deploy.units import SYSTEMD, UNIT, command, read_environment, read_unit
from tests.jobs import jobs
from tests.jobs.command import CHIRON, clean_environment
from tests.jobs.conftest import NewDirectory
from tests.kafka.processes import eventually

pytestmark = pytest.mark.kafka

CORE = shlex.join([sys.executable, "-m", "enclave_workers.core", "trainer"])


def test_unit_starts_a_worker_that_joins_shows_itself_and_ends_in_order(
    kafka: LocalKafka, new_directory: NewDirectory, tmp_path: Path
) -> None:
    directory = new_directory()
    variables = read_environment(SYSTEMD / "workers.env", SYSTEMD / "trainer-0.env") | {
        "JOB": str(directory.job_file),
        "CORE": CORE,
        "METRICS": "127.0.0.1:0",
        "FLAGS": f"--quoting-service {directory.quoting} --status {directory.run}/trainer-0.json",
    }
    del variables["CHIRON_CONFIG"]
    program, *words = command(read_unit(UNIT.read_text()), variables)
    assert program == "/opt/chiron/bin/chiron"
    cores = {"coordinator": 1}
    with RunningJob(directory, bootstrap_servers=kafka.bootstrap_servers, workers=cores):
        with subprocess.Popen([CHIRON, *words], env=clean_environment()) as worker:
            jobs.reaches(directory, "ready", "trainer-0")
            assert jobs.progress(directory, "trainer-0")["metrics"].startswith("127.0.0.1:")
            eventually(lambda: jobs.progress(directory)["trainers"] == 1, "it is alive")
            worker.send_signal(signal.SIGTERM)
            assert worker.wait(30) == 0
        eventually(lambda: jobs.progress(directory)["trainers"] == 0, "it has left", 5)
