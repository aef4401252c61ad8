"""What a core learns of its courier's environment."""

from __future__ import annotations

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
