"""The systemd units: what systemd says of them; their flags and exit codes are those there are."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from chiron_stream import telemetry, timeouts
from chiron_stream.bridge.answering import DRAIN_SECONDS as ANSWERS_SECONDS
from chiron_stream.errors import BrokerUnreachable, Timeout
from chiron_stream.local.services import FINAL_CODES
from enclave_workers.courier.__main__ import ASKED_SECONDS, DRAIN_SECONDS
from tests.deploy.units import (
    BRIDGE,
    BRIDGES,
    ENVIRONMENTS,
    SYSTEMD,
    UNIT,
    command,
    read_environment,
    read_unit,
)
from tests.jobs.command import chiron

ANALYZE = shutil.which("systemd-analyze")
needs_systemd = pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is not on the PATH")
NEWER = {"RestartSteps": 254, "RestartMaxDelaySec": 254}
"""Settings that systemd has from this version on; earlier ones pass them over and say so."""

MOST_EXPOSURE = 20
"""Tenths, as ``systemd-analyze security`` counts; a unit without any hardening has 96."""

DOCS = Path(__file__).parents[2] / "docs"
SHARED = SYSTEMD / "workers.env"
SERVICE = read_unit(UNIT.read_text())["Service"]
both = pytest.mark.parametrize("unit", [UNIT, BRIDGE], ids=lambda path: path.stem)


def analyzed(*words: str) -> subprocess.CompletedProcess[str]:
    assert ANALYZE is not None
    return subprocess.run([ANALYZE, *words], capture_output=True, text=True, check=False)


def version() -> int:
    return int(analyzed("--version").stdout.split()[1])


def installed(folder: Path, text: str) -> Path:
    """Write a unit whose program is one that is here."""
    path = folder / "one@.service"
    path.write_text(text.replace("/opt/chiron/bin/chiron", shutil.which("true") or "/bin/true"))
    return path


def complaints(path: Path) -> list[str]:
    """Return what systemd says of a unit, without what only its own age explains."""
    shown = analyzed("verify", "--man=no", str(path))
    passed_over = {name for name, since in NEWER.items() if version() < since}
    said = [line for line in shown.stderr.splitlines() if str(path) in line or shown.returncode]
    return [one for one in said if not any(f"'{name}'" in one for name in passed_over)]


@needs_systemd
@both
def test_systemd_has_nothing_to_say_of_the_unit(tmp_path: Path, unit: Path) -> None:
    assert complaints(installed(tmp_path, unit.read_text())) == []


@needs_systemd
@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("KillMode=mixed", "KilMode=mixed"),
        ("Restart=on-failure", "Restart=on-falure"),
        ("RestartPreventExitStatus=2 5", "RestartPreventExitStatus=2 five"),
        ("ExecStart=/", "ExecStart="),
    ],
)
def test_systemd_notices_a_mistake(tmp_path: Path, right: str, wrong: str) -> None:
    """The control."""
    text = UNIT.read_text()
    assert right in text
    assert complaints(installed(tmp_path, text.replace(right, wrong)))


@needs_systemd
@both
def test_unit_is_confined(tmp_path: Path, unit: Path) -> None:
    path = str(installed(tmp_path, unit.read_text()))
    shown = analyzed("security", "--offline=yes", f"--threshold={MOST_EXPOSURE}", path)
    assert shown.returncode == 0, shown.stdout


@both
def test_codes_that_prevent_a_restart_are_the_final_ones(unit: Path) -> None:
    service = read_unit(unit.read_text())["Service"]
    (codes,) = service["RestartPreventExitStatus"]
    assert {int(code) for code in codes.split()} == FINAL_CODES
    assert service["Restart"] == ["on-failure"]
    assert Timeout.exit_code not in FINAL_CODES, "a stalled worker is started again"
    assert BrokerUnreachable.exit_code not in FINAL_CODES, "so is a bridge without its cluster"


def test_final_codes_are_documented_as_such() -> None:
    page = (DOCS / "deploying.md").read_text()
    (codes,) = SERVICE["RestartPreventExitStatus"]
    assert codes.replace(" ", ", ") in page


@pytest.mark.parametrize("path", ENVIRONMENTS, ids=lambda path: path.stem)
def test_unit_calls_what_the_command_line_has(path: Path) -> None:
    words = command(read_unit(UNIT.read_text()), read_environment(SHARED, path))
    assert words[:2] == ["/opt/chiron/bin/chiron", "worker"]
    assert words[2] == path.stem.partition("-")[0]
    known = set(re.findall(r"--[a-z-]+", chiron("worker", "--help").stdout))
    asked = [word for word in words if word.startswith("--")]
    assert {"--job", "--core", "--metrics"} < set(asked) <= known
    assert words[words.index("--core") + 1] == f"gramine-sgx {words[2]}"


def test_there_is_an_environment_for_each_role_and_each_has_a_port_of_its_own() -> None:
    found = [read_environment(path) for path in ENVIRONMENTS]
    assert sorted(one["ROLE"] for one in found) == sorted(telemetry.ROLES)
    ports = {one["METRICS"] for one in found}
    assert len(ports) == len(found)
    assert all(f'"{port}"' in (DOCS / "telemetry.md").read_text() for port in ports)


def test_unit_reads_the_files_that_are_documented() -> None:
    page = (DOCS / "deploying.md").read_text()
    assert SERVICE["EnvironmentFile"] == ["/etc/chiron/workers.env", "/etc/chiron/%i.env"]
    assert all(one.replace("%i", "trainer-0") in page for one in SERVICE["EnvironmentFile"])


def test_unit_waits_longer_than_a_worker_needs_to_hand_its_work_on() -> None:
    assert SERVICE["KillMode"] == ["mixed"]
    (seconds,) = SERVICE["TimeoutStopSec"]
    assert int(seconds) > DRAIN_SECONDS + ASKED_SECONDS


@pytest.mark.parametrize("path", BRIDGES, ids=lambda path: path.stem)
def test_bridge_unit_calls_what_the_command_line_has(path: Path) -> None:
    words = command(read_unit(BRIDGE.read_text()), read_environment(path))
    assert words[:2] == ["/opt/chiron/bin/chiron", "bridge"]
    known = set(re.findall(r"--[a-z-]+", chiron("bridge", "--help").stdout))
    asked = [word for word in words if word.startswith("--")]
    assert {"--job", "--source"} < set(asked) <= known


def test_bridge_units_go_both_ways_and_keep_their_state_where_they_may_write() -> None:
    found = [read_environment(path)["FLAGS"] for path in BRIDGES]
    (into,) = (one for one in found if "--dataset" in one)
    (back,) = (one for one in found if "--answers" in one)
    (state,) = re.findall(r"--state (\S+)", back)
    service = read_unit(BRIDGE.read_text())["Service"]
    assert Path(state).parent == Path("/var/lib") / service["StateDirectory"][0]
    assert "--state" not in into


def test_bridge_unit_and_its_files_are_documented() -> None:
    page = (DOCS / "deploying.md").read_text()
    assert BRIDGE.name in page
    assert all(f"/etc/chiron/{path.name}" in page for path in BRIDGES)


def test_bridge_unit_waits_longer_than_a_bridge_needs_for_its_end() -> None:
    (seconds,) = read_unit(BRIDGE.read_text())["Service"]["TimeoutStopSec"]
    leaves = timeouts.CONNECT + timeouts.DELIVERY
    assert int(seconds) > timeouts.SESSION + leaves
    assert int(seconds) > ANSWERS_SECONDS + timeouts.COMMIT_WATCHDOG + leaves
