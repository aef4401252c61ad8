"""What a core learns of its courier's environment, and how a courier keeps its own memory."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

from enclave_workers.courier.environment import ALLOCATOR, core_environment

OWN = {
    "PATH": "/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
    "OPENBLAS_CORETYPE": "Haswell",
    "AWS_SECRET": "x",
    "PYTHONPATH": "/tmp",
    "OPENBLAS": "no",
}


def test_core_gets_named_variables_and_the_allocators_and_no_other() -> None:
    found = core_environment(OWN)
    assert found.keys() == {"PATH", "HOME", "LANG", "OPENBLAS_CORETYPE", *ALLOCATOR}
    assert all(found[name] == OWN[name] for name in found if name in OWN)


def test_courier_cannot_change_the_allocator_of_its_core() -> None:
    assert core_environment(dict.fromkeys(ALLOCATOR, "0")) == ALLOCATOR


FAULTS = """
import resource
from enclave_workers.courier.environment import keep_freed_memory
{call}
def use():
    for _ in range(20):
        blocks = [bytes([n]) * 1_000_000 for n in range(8)]
use()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
use()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a habit of glibc")
def test_courier_uses_freed_blocks_again_without_mapping_them() -> None:
    own = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}

    def faults(call: str) -> int:
        command = [sys.executable, "-c", FAULTS.format(call=call)]
        return int(subprocess.run(command, capture_output=True, check=True, env=own).stdout)

    assert faults("keep_freed_memory()") < 1000
    assert faults("") > 10_000  # the control: eight blocks, twenty times
