"""The measurement of a core: two readers that agree, and a change of any byte that shows."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

from chiron_stream.attestation.evidence import ROLES
from chiron_stream.attestation.measurement import LOCK, PACKAGES, measure
from chiron_stream.errors import BugFound
from chiron_stream.simulation.files import core_files, core_measurement
from enclave_workers.core.tee.files import own_measurement

ROOT = Path(__file__).parents[3]


@pytest.fixture
def copy(tmp_path: Path) -> Mapping[str, Path]:
    """Both packages, copied as an installation has them: links followed."""
    ignored = shutil.ignore_patterns("__pycache__")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=ignored)
    return {package: tmp_path / package for package in PACKAGES}


@pytest.mark.parametrize("role", ROLES)
def test_core_and_command_line_measure_the_same(role: str) -> None:
    assert own_measurement(role) == core_measurement(role) == measure(role, core_files())


def test_copy_has_the_same_measurement(copy: Mapping[str, Path]) -> None:
    assert core_measurement("trainer", copy) == core_measurement("trainer")
    assert own_measurement("trainer", copy) == core_measurement("trainer")


def test_every_role_has_another_measurement() -> None:
    assert len({core_measurement(role) for role in ROLES}) == len(ROLES)


def test_files_of_a_core_are_named_from_the_package_on() -> None:
    files = core_files()
    assert LOCK in files
    assert "enclave_workers/core/tee/simulated.py" in files
    assert "chiron_stream/attestation/appraisal.py" in files
    assert not any("__pycache__" in name or name.startswith("/") for name in files)
    outside = ("cli/", "broker/", "simulation/", "clients/")
    assert not any(name.startswith(f"chiron_stream/{part}") for name in files for part in outside)


def test_lock_file_is_the_one_that_workers_are_installed_from() -> None:
    assert core_files()[LOCK] == (ROOT / "requirements" / "worker.txt").read_bytes()


def test_one_byte_of_any_file_of_the_core_changes_the_measurement(
    copy: Mapping[str, Path],
) -> None:
    genuine = core_measurement("trainer", copy)
    for name, content in core_files(copy).items():
        path = copy["enclave_workers"].parent / name
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]) if content else b"#")
        changed = core_measurement("trainer", copy)
        assert changed != genuine, name
        assert changed == own_measurement("trainer", copy)
        path.write_bytes(content)
    assert core_measurement("trainer", copy) == genuine


def test_one_more_file_in_the_core_changes_the_measurement(copy: Mapping[str, Path]) -> None:
    genuine = core_measurement("trainer", copy)
    (copy["enclave_workers"] / "core" / "extra.py").write_bytes(b"")
    assert core_measurement("trainer", copy) != genuine


def test_file_outside_the_core_does_not_change_the_measurement(
    copy: Mapping[str, Path],
) -> None:
    genuine = core_measurement("trainer", copy)
    (copy["chiron_stream"] / "simulation" / "service.py").write_bytes(b"")
    assert core_measurement("trainer", copy) == genuine


def test_core_without_lock_file_cannot_be_measured(copy: Mapping[str, Path]) -> None:
    (copy["enclave_workers"] / "core" / "requirements.txt").unlink()
    for reader in (core_measurement, own_measurement):
        with pytest.raises(BugFound, match="cannot be measured"):
            reader("trainer", copy)
