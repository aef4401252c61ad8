"""The manifests that are rendered keep the rules; each rule refuses a hostile manifest."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from chiron_stream.attestation.evidence import ROLES
from deploy.gramine.contents import gpu_build
from deploy.gramine.render import manifest
from deploy.gramine.rules import violations
from enclave_workers.courier.environment import ALLOCATOR
from tests.deploy import images

HASH = "ab" * 32
SITE = "file:image/chiron/lib/python3.11/site-packages"


def rendered(role: str = "trainer", *, gpu: bool = False) -> dict[str, Any]:
    return manifest(role, dict.fromkeys(images.files(gpu=gpu), HASH))


@pytest.mark.parametrize("role", ROLES)
def test_rendered_manifests_keep_the_rules(role: str) -> None:
    assert violations(rendered(role)) == []


@pytest.mark.skipif(not gpu_build(), reason="this torch is no GPU build")
def test_gpu_build_of_torch_breaks_one_rule() -> None:
    found = violations(rendered(gpu=True))
    assert found
    assert all(one.endswith("a GPU library, which no core uses") for one in found)


def test_roles_differ_in_their_command_line_alone() -> None:
    one, other = rendered("coordinator"), rendered("predictor")
    assert one["loader"].pop("argv")[-1] == "coordinator"
    assert other["loader"].pop("argv")[-1] == "predictor"
    assert one == other


def test_what_gramine_fills_in_and_writes_out_keeps_the_rules() -> None:
    found = rendered()
    gramine = "/usr/lib/x86_64-linux-gnu/gramine"
    found["loader"]["entrypoint"] = {"uri": f"file:{gramine}/libsysdb.so", "sha256": HASH}
    found["fs"]["mounts"][0]["uri"] = f"file:{gramine}/runtime/glibc"
    found["sgx"]["trusted_files"][:2] = [
        {"uri": f"file:{gramine}/libsysdb.so", "sha256": HASH},
        {"uri": f"file:{gramine}/runtime/glibc/libc.so.6", "sha256": HASH},
        {"uri": f"file:{gramine}/runtime/glibc/ld-linux-x86-64.so.2", "sha256": HASH},
    ]
    found["sgx"] |= {"isvprodid": 0, "isvsvn": 0, "enable_stats": False, "use_exinfo": False}
    found["sgx"]["cpu_features"] |= {"mpx": "disabled", "amx": "unspecified"}
    assert violations(found) == []


def test_allocator_is_set_in_an_enclave_as_outside() -> None:
    assert ALLOCATOR.items() <= rendered()["loader"]["env"].items()


def trust(uri: str, **entry: str) -> Callable[[dict[str, Any]], object]:
    return lambda m: m["sgx"]["trusted_files"].append({"uri": uri, "sha256": HASH} | entry)


def mount(path: str, uri: str, kind: str = "chroot") -> Callable[[dict[str, Any]], object]:
    return lambda m: m["fs"]["mounts"].append({"path": path, "uri": uri, "type": kind})


def change(table: str, key: str, value: object) -> Callable[[dict[str, Any]], object]:
    return lambda m: m.setdefault(table, {}).__setitem__(key, value)


def without(table: str, key: str) -> Callable[[dict[str, Any]], object]:
    return lambda m: m[table].pop(key)


PYTHON = "/chiron/bin/python3"
HOSTILE = {
    "command line of the host": change("loader", "insecure__use_cmdline_argv", True),
    "environment of the host": change("loader", "insecure__use_host_env", True),
    "no address randomisation": change("loader", "insecure__disable_aslr", True),
    "insecure even when off": change("sys", "insecure__allow_eventfd", False),
    "insecure and deep": change("fs", "insecure__keys", {"default": "00" * 16}),
    "system calls mocked": change("sys", "debug__mock_syscalls", [{"name": "getrandom"}]),
    "argv from a file": change("loader", "argv_src_file", "file:argv"),
    "no argv": without("loader", "argv"),
    "another program": change("loader", "argv", [PYTHON, "-c", "import os"]),
    "not isolated": change("loader", "argv", [PYTHON, "-m", "enclave_workers.core", "trainer"]),
    "another role": change(
        "loader", "argv", [PYTHON, "-I", "-B", "-m", "enclave_workers.core", "courier"]
    ),
    "another entry": change("libos", "entrypoint", "/bin/sh"),
    "another library OS": lambda m: m["loader"]["entrypoint"].update(uri="file:/tmp/libos.so"),
    "environment from a file": change("loader", "env_src_file", "file:environment"),
    "a variable of the host": lambda m: m["loader"]["env"].update(PYTHONPATH={"passthrough": True}),
    "a known variable of the host": lambda m: m["loader"]["env"].update(
        LD_LIBRARY_PATH={"passthrough": True}
    ),
    "a library to preload": lambda m: m["loader"]["env"].update(LD_PRELOAD="/lib/x.so"),
    "an allocator of the host": lambda m: m["loader"]["env"].update(
        MALLOC_TRIM_THRESHOLD_={"passthrough": True}
    ),
    "another allocator": lambda m: m["loader"]["env"].update(MALLOC_MMAP_THRESHOLD_="0"),
    "a debugging allocator": lambda m: m["loader"]["env"].update(MALLOC_PERTURB_="1"),
    "no port": lambda m: m["loader"]["env"].pop("CHIRON_COURIER_PORT"),
    "chatty": change("loader", "log_level", "trace"),
    "subprocesses": change("sys", "disallow_subprocesses", False),
    "subprocesses by default": without("sys", "disallow_subprocesses"),
    "signals of the host": change("sys", "enable_sigterm_injection", True),
    "domain names of the host": change("sys", "enable_extra_runtime_domain_names_conf", True),
    "devices": change("sys", "allowed_ioctls", [{"request_code": 1}]),
    "debug": change("sgx", "debug", True),
    "debug by default": without("sgx", "debug"),
    "debug as a number": change("sgx", "debug", 0),
    "no attestation": change("sgx", "remote_attestation", "none"),
    "no attestation by default": without("sgx", "remote_attestation"),
    "EPID": change("sgx", "remote_attestation", "epid"),
    "any file": change("sgx", "file_check_policy", "allow_all_but_log"),
    "an allowed file": change("sgx", "allowed_files", ["file:/etc/hosts"]),
    "profiling": change("sgx", "profile", {"enable": "all"}),
    "statistics": change("sgx", "enable_stats", True),
    "no pointer checks": change("libos", "check_invalid_pointers", False),
    "the host's root": change("fs", "root", {"type": "chroot", "uri": "file:/"}),
    "root by default": without("fs", "root"),
    "all site-packages": mount("/site", "file:/venv/lib/python3.11/site-packages"),
    "the courier": mount("/courier", "file:enclave_workers/courier"),
    "the broker": mount("/broker", "file:chiron_stream/broker"),
    "a temporary directory of the host": mount("/tmp", "file:/tmp"),
    "an encrypted file": mount("/data", "file:data", "encrypted"),
    "shared memory": mount("/dev/shm", "dev:/dev/shm", "untrusted_shm"),
    "another C library": lambda m: m["fs"]["mounts"].__setitem__(
        0, {"path": "/lib", "uri": "file:/tmp/lib"}
    ),
    "no trusted files": change("sgx", "trusted_files", []),
    "kafka": trust(f"{SITE}/kafka/client_async.py"),
    "faust": trust(f"{SITE}/faust/app.py"),
    "pip": trust(f"{SITE}/pip/__main__.py"),
    "start-up code": trust(f"{SITE}/a1.pth"),
    "the courier's code": trust(f"{SITE}/enclave_workers/courier/effects.py"),
    "the broker's code": trust(f"{SITE}/chiron_stream/broker/seam.py"),
    "the clients' code": trust(f"{SITE}/chiron_stream/clients/owner.py"),
    "bytecode": trust(f"{SITE}/chiron_stream/wire/session.pyc"),
    "tests of Python": trust("file:image/chiron/lib/python3.11/test/support.py"),
    "a way out": trust("file:image/chiron/lib/python3.11/../../../etc/passwd.py"),
    "a file of the host": trust("file:/etc/passwd"),
    "a program": trust("file:image/chiron/bin/sh"),
    "a directory": trust("file:image/chiron/lib/python3.11/"),
    "no hash": trust(f"{SITE}/numpy/version.py", sha256=""),
    "a name for Gramine's": trust("file:/home/gramine/runtime/glibc/libc.so.6"),
    "a way out of Gramine's": trust("file:/usr/lib/gramine/runtime/glibc/../../kafka.so"),
    "a GPU library": trust("file:image/chiron/lib/libcublas.so.13"),
    "something new": change("sgx", "something_new", True),
    "a new table": change("cloud", "upload", True),
}


@pytest.mark.parametrize("change", HOSTILE.values(), ids=list(HOSTILE))
def test_hostile_manifests_are_refused(change: Callable[[dict[str, Any]], object]) -> None:
    hostile = copy.deepcopy(rendered())
    change(hostile)
    assert len(violations(hostile)) >= 1
