"""The image of a core holds all that a core loads, and a whole job runs from it alone."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import pytest

from chiron_stream.attestation.evidence import ROLES
from deploy.gramine.contents import gpu_build, is_library, own_files
from deploy.gramine.libraries import RUNTIME
from deploy.gramine.render import manifest, write_image
from tests.deploy import images

LOADED = """
import sys
sys.path += sys.argv[1:]
import enclave_workers.core.__main__
from enclave_workers.core.{role} import shell
for name, module in sorted(sys.modules.items()):
    print(name, getattr(module, "__file__", None) or "", sep="\\t")
for line in open("/proc/self/maps"):
    if ".so" in line:
        print("", line.split()[-1], sep="\\t")
"""


def loaded(role: str) -> list[tuple[str, Path]]:
    """Modules that a core of this role has loaded, and the libraries that are mapped."""
    paths = [str(images.ROOT), sysconfig.get_path("purelib")]
    command = [sys.executable, "-I", "-S", "-c", LOADED.format(role=role), *paths]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    pairs = [line.split("\t") for line in shown.splitlines()]
    return [(name, Path(path).resolve()) for name, path in pairs if path.startswith("/")]


@pytest.mark.parametrize("role", ROLES)
def test_image_holds_what_a_core_loads(role: str) -> None:
    there = {path.resolve() for path in images.startable().values()}
    found = loaded(role)
    assert len(found) > 300
    foreign = {"chiron_stream.broker", "chiron_stream.clients", "chiron_stream.events"}
    for name, path in found:
        runtime = path.name in RUNTIME or "nvidia" in path.parts
        assert path in there or runtime, f"{name} {path}"
        assert name.partition(".")[0] not in {"kafka", "faust", "aiokafka", "sympy", "pip"}
        assert not name.startswith((*foreign, "enclave_workers.courier")), name


def test_image_has_no_part_that_no_core_needs() -> None:
    names = images.files(gpu=False)
    assert not [name for name in names if "kafka" in name or "faust" in name or "/pip/" in name]
    assert not [name for name in names if "courier" in name and "wire/courier.py" not in name]
    assert not [
        name for name in names if "/tests/" in name or name.endswith((".pyi", ".h", ".pyc"))
    ]
    assert not [name for name in names if is_library(name) and ("cuda" in name or "nv" in name)]
    assert {name.partition("/site-packages/")[2] for name in names} >= set(own_files())


def test_linked_image_is_made_of_hard_links_or_copies(tmp_path: Path) -> None:
    source = tmp_path / "x.py"
    source.write_text("1")
    write_image({"chiron/x.py": source}, tmp_path / "image", link=True)
    write_image({"chiron/x.py": source}, tmp_path / "copy")
    assert (tmp_path / "image/chiron/x.py").samefile(source)
    assert (tmp_path / "copy/chiron/x.py").read_text() == "1"
    assert not (tmp_path / "copy/chiron/x.py").samefile(source)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may chroot into the image of a core")
@pytest.mark.skipif(shutil.which("chroot") is None, reason="there is no chroot on the PATH")
def test_a_whole_job_runs_with_nothing_but_the_image() -> None:
    """Argv and environment are the manifest's, the file system is the image and a C library."""
    started = time.monotonic()
    described = {role: manifest(role, {})["loader"] for role in ROLES}
    with images.scratch() as path:
        write_image(images.startable(), path / "image", link=True)
        images.furnish(path / "image")
        commands = {
            role: ["chroot", str(path / "image"), *loader["argv"]]
            for role, loader in described.items()
        }
        fixed = described["trainer"]["env"]
        environment = {name: value for name, value in fixed.items() if isinstance(value, str)}
        search = {"PATH": f"{os.environ['PATH']}:{environment['PATH']}"}
        assert images.train_and_predict(commands, environment | search, path) == "right"
    print(f"{time.monotonic() - started:.1f} s, GPU build of torch: {gpu_build()}")
