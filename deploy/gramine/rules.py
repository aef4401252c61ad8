"""The rules that a core's manifest keeps, as a pure function of the decoded manifest.

Closed: an option that no rule knows is refused, so that a new one, of Gramine or of ours, is looked
at before it is used. Whoever reviews a measurement runs these over the manifest that goes with it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from chiron_stream.attestation.evidence import ROLES
from chiron_stream.attestation.measurement import FILES, TREES

PYTHON: Final = "/chiron/bin/python3"
FIXED: Final[Mapping[str, object]] = {
    "fs.start_dir": "/",
    "fs.root.type": "chroot",
    "fs.root.uri": "file:image",
    "libos.entrypoint": PYTHON,
    "libos.check_invalid_pointers": True,
    "loader.log_level": "error",
    "loader.env.LD_LIBRARY_PATH": "/lib:/chiron/lib",
    "loader.env.PATH": "/chiron/bin",
    "loader.env.HOME": "/",
    "loader.env.LC_ALL": "C.UTF-8",
    "loader.env.MALLOC_TRIM_THRESHOLD_": "4294967296",
    "loader.env.MALLOC_MMAP_THRESHOLD_": "1073741824",
    "loader.env.TORCH_DEVICE_BACKEND_AUTOLOAD": "0",
    "loader.env.CHIRON_COURIER_PORT.passthrough": True,
    "sgx.debug": False,
    "sgx.edmm_enable": False,
    "sgx.file_check_policy": "strict",
    "sgx.remote_attestation": "dcap",
    "sgx.cpu_features.avx": "required",
    "sgx.allowed_files": [],
    "sys.disallow_subprocesses": True,
    "sys.enable_sigterm_injection": False,
    "sys.enable_extra_runtime_domain_names_conf": False,
}
"""Options that have one value, and must be there."""

FREE: Final = frozenset({"sgx.enclave_size", "sgx.max_threads", "sys.stack.size"})
"""Options that may have any value: they bound resources."""

DEFAULTS: Final[Mapping[str, object]] = {
    "sgx.enable_stats": False,
    "sgx.isvprodid": 0,
    "sgx.isvsvn": 0,
    "sgx.use_exinfo": False,
    "sgx.cpu_features.avx512": "unspecified",
    "sgx.cpu_features.amx": "unspecified",
    "sgx.cpu_features.mpx": "disabled",
    "sgx.cpu_features.pkru": "disabled",
}
"""Options that Gramine's own tools write out, and the values that they must have then."""

INSECURE: Final = ("insecure__", "debug__", "experimental__")
SITE: Final = re.compile(r"chiron/lib/python3\.\d+/site-packages/(.+)")
PLACES: Final = re.compile(
    r"chiron/bin/python3"
    r"|chiron/lib/[^/]+\.so[.0-9]*"
    r"|chiron/lib/python3\.\d+/(?!site-packages/|test/|ensurepip/|idlelib/).+\.(py|so)"
)
PACKAGES: Final = re.compile(
    r"(cryptography|dcap_qvl|functorch|mpmath|msgpack|numpy|numpy\.libs|sympy|torch|torchgen)/.+"
    r"|_cffi_backend\.[^/]+\.so|typing_extensions\.py"
    r"|(cffi|cryptography|dcap_qvl|mpmath|msgpack|numpy|sympy|torch|typing_extensions)-[^/]+\.dist-info/METADATA"
)
"""Other people's packages, by their paths in ``site-packages``."""

GPU: Final = re.compile(r"/lib(cu|nv|nccl|c10_cuda|torch_cuda|torch_nv|caffe2_nvrtc)[^/]*\.so")
OURS: Final = ("chiron_stream/", "enclave_workers/")
SHA256: Final = re.compile(r"[0-9a-f]{64}")

_GRAMINE: Final = r"/usr(/local)?/lib/(x86_64-linux-gnu/)?gramine"
LIBOS: Final = re.compile(rf"file:(\{{\{{ gramine\.libos \}}\}}|{_GRAMINE}/libsysdb\.so)")
RUNTIME: Final = re.compile(
    rf"file:(\{{\{{ gramine\.runtimedir\(\) \}}\}}|{_GRAMINE}/runtime/glibc)"
    r"/?((?<=/)(lib|ld-)[^/]+)?"
)
"""Gramine's own files, before and after ``gramine-manifest`` and ``gramine-sgx-sign``."""


def violations(manifest: Mapping[str, Any]) -> list[str]:
    """Return what a manifest does that a core's must not, in words; empty when nothing."""
    options = dict(_flat(manifest))
    checks: tuple[Callable[[dict[str, Any]], Iterator[str]], ...] = (
        _insecure,
        _fixed,
        _unknown,
        _argv,
        _loader,
        _mounts,
        _trusted,
    )
    return [violation for check in checks for violation in check(options)]


def _flat(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _insecure(options: dict[str, Any]) -> Iterator[str]:
    for name in options:
        if any(mark in name for mark in INSECURE):
            yield f"{name} is an insecure option"


def _fixed(options: dict[str, Any]) -> Iterator[str]:
    for name, value in FIXED.items():
        if name not in options:
            yield f"{name} is missing: it must be {value!r}"
    for name, value in {**FIXED, **DEFAULTS}.items():
        if name in options and not _same(options[name], value):
            yield f"{name} is {options[name]!r}: it must be {value!r}"


def _same(found: object, wanted: object) -> bool:
    return type(found) is type(wanted) and found == wanted


def _unknown(options: dict[str, Any]) -> Iterator[str]:
    elsewhere = {"loader.argv", "loader.entrypoint.uri", "loader.entrypoint.sha256"}
    elsewhere |= {"fs.mounts", "sgx.trusted_files"}
    for name in options:
        if name not in {*FIXED, *FREE, *DEFAULTS, *elsewhere}:
            yield f"{name} is an option that no rule knows"


def _argv(options: dict[str, Any]) -> Iterator[str]:
    allowed = [[PYTHON, "-I", "-B", "-m", "enclave_workers.core", role] for role in ROLES]
    if options.get("loader.argv") not in allowed:
        yield "loader.argv is not the fixed command line of a role"


def _loader(options: dict[str, Any]) -> Iterator[str]:
    if not LIBOS.fullmatch(str(options.get("loader.entrypoint.uri"))):
        yield "loader.entrypoint.uri is not Gramine's library OS"


def _mounts(options: dict[str, Any]) -> Iterator[str]:
    mounts = options.get("fs.mounts", [])
    if not any(mount.get("path") == "/lib" for mount in mounts):
        yield "fs.mounts lacks Gramine's runtime at /lib"
    for mount in mounts:
        runtime = RUNTIME.fullmatch(str(mount.get("uri")))
        kind = mount.get("type", "chroot")
        if mount.get("path") != "/lib" or kind != "chroot" or not runtime:
            yield f"fs.mounts has {mount.get('uri')} at {mount.get('path')}: no part of a core"


def _trusted(options: dict[str, Any]) -> Iterator[str]:
    entries = options.get("sgx.trusted_files", [])
    if not entries:
        yield "sgx.trusted_files is empty"
    for entry in entries:
        uri, digest = (entry, "") if isinstance(entry, str) else _table(entry)
        if LIBOS.fullmatch(uri) or RUNTIME.fullmatch(uri):
            continue
        name = uri.removeprefix("file:image/")
        if name == uri or name.endswith("/") or not _trustworthy(name):
            yield f"sgx.trusted_files has {uri}: no part of a core"
        elif not SHA256.fullmatch(digest):
            yield f"sgx.trusted_files has {uri} without its SHA-256"
        elif GPU.search(uri):
            yield f"sgx.trusted_files has {uri}: a GPU library, which no core uses"


def _table(entry: Mapping[str, Any]) -> tuple[str, str]:
    return str(entry.get("uri", "")), str(entry.get("sha256", ""))


def _trustworthy(name: str) -> bool:
    if ".." in name.split("/") or "//" in name:
        return False
    inside = SITE.fullmatch(name)
    if inside is None:
        return PLACES.fullmatch(name) is not None
    path = inside[1]
    if path.startswith(OURS):
        return path in FILES or (path.endswith(".py") and path.startswith(TREES))
    return PACKAGES.fullmatch(path) is not None
