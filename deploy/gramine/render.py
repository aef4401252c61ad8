"""``python -m deploy.gramine.render --out DIRECTORY``: image and manifest templates of the cores.

Writes ``image/``, which holds all that a core can open, and one ``ROLE.manifest.template`` a role,
which names each file of the image with its SHA-256. Needs no Gramine: ``gramine-manifest`` fills in
where Gramine itself is. Both are a function of the installed packages and of the interpreter: who
installs the same gets the same, and so the same measurement (docs/deploying.md).
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import sys
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template
from typing import Any, Final

from chiron_stream.attestation.evidence import ROLES
from deploy.gramine.contents import gpu_build, image_files
from deploy.gramine.libraries import with_libraries
from deploy.gramine.rules import violations

TEMPLATE: Final = Path(__file__).with_name("core.manifest.template")
ENCLAVE_SIZE: Final = "8G"
MAX_THREADS: Final = 32


def main(arguments: Sequence[str] | None = None) -> int:
    """Write image and manifest templates; return the exit code."""
    flags = _parser().parse_args(arguments)
    if gpu_build() and not flags.gpu:
        return _refuse("torch is a GPU build; install a CPU build (docs/installing.md), or: --gpu")
    if flags.out.exists() and any(flags.out.iterdir()):
        return _refuse(f"{flags.out} is not empty")
    files = with_libraries(image_files(gpu=flags.gpu), gpu=flags.gpu)
    write_image(files, flags.out / "image", link=flags.link)
    hashes = {name: digest(path) for name, path in files.items()}
    found = []
    for role in ROLES:
        text = render(role, hashes, flags.enclave_size, flags.max_threads)
        (flags.out / f"{role}.manifest.template").write_text(text, "utf-8")
        found += [f"{role}: {violation}" for violation in violations(tomllib.loads(text))]
    sys.stderr.writelines(f"warning: {violation}\n" for violation in found)
    return 1 if found and not flags.gpu else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m deploy.gramine.render", description=__doc__)
    parser.add_argument("--out", required=True, type=Path, metavar="DIRECTORY", help="a new one")
    parser.add_argument("--enclave-size", default=ENCLAVE_SIZE, help="a power of two")
    parser.add_argument("--max-threads", type=int, default=MAX_THREADS, help="in the enclave")
    parser.add_argument("--gpu", action="store_true", help="trust GPU libraries too: for trials")
    parser.add_argument("--link", action="store_true", help="hard links, not copies: for trials")
    return parser


def _refuse(why: str) -> int:
    sys.stderr.write(f"error: {why}\n")
    return 2


def render(
    role: str,
    hashes: Mapping[str, str],
    enclave_size: str = ENCLAVE_SIZE,
    max_threads: int = MAX_THREADS,
) -> str:
    """Return the manifest template of a role.

    :param hashes: SHA-256, in hexadecimal, of each file of the image.
    """
    lines = [
        f'  {{ uri = "file:image/{name}", sha256 = "{hashes[name]}" }},' for name in sorted(hashes)
    ]
    return Template(TEMPLATE.read_text("utf-8").partition("\n\n")[2]).substitute(
        role=role,
        enclave_size=enclave_size,
        max_threads=max_threads,
        trusted_files="\n".join(lines),
    )


def manifest(role: str, hashes: Mapping[str, str]) -> dict[str, Any]:
    """Return the decoded manifest of a role; Gramine's own paths are still expressions."""
    return tomllib.loads(render(role, hashes))


def digest(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_image(files: Mapping[str, Path], image: Path, *, link: bool = False) -> None:
    """Write the files of an image below a directory.

    :param link: make hard links where that is possible: fast, and follows changes in place.
    """
    for name, path in files.items():
        target = image / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if link and path.stat().st_dev == image.stat().st_dev:
            os.link(path, target)
        else:
            shutil.copy(path, target)
    (image / "lib").mkdir(exist_ok=True)  # Gramine's runtime is mounted there


if __name__ == "__main__":
    sys.exit(main())
