"""The demonstration does what it says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(300)]

ROOT = Path(__file__).parents[2]


def test_demo_ends_well_and_its_hashes_are_equal(tmp_path: Path) -> None:
    for name in ("chiron_stream", "enclave_workers", "examples"):
        (tmp_path / name).symlink_to(ROOT / name)  # so that build/ is this test's own
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    shown = subprocess.run(
        [sys.executable, "-m", "examples.demo"],
        cwd=tmp_path,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert shown.returncode == 0, shown.stdout[-2000:] + shown.stderr[-2000:]
    facts = json.loads((tmp_path / "build" / "demo.json").read_text())
    assert facts["parameters_sha256"] == facts["reference_sha256"]
    assert (facts["simulated"], facts["processes_left"], facts["operator_hits"]) == (True, 0, 0)
    assert facts["control_hits"] > 0
    assert "SHA-256 of our parameters:" in shown.stdout
    assert "equal, bit for bit" in shown.stdout
    assert "NOT TRUE" not in shown.stdout
