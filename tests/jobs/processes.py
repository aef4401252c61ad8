"""What the kernel says of a worker's two processes."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import psutil

from tests.kafka.processes import eventually

ESTABLISHED = "01"
GONE_SECONDS = 10.0
"""Within which a worker's other half is gone: a heartbeat of 1 s, on a machine that is busy."""


class Pair(NamedTuple):
    """A courier and its core."""

    courier: psutil.Process
    core: psutil.Process


class Socket(NamedTuple):
    """A row of /proc/net/tcp: addresses as the kernel writes them."""

    local: str
    remote: str
    state: str
    inode: int


def core_of(courier: int) -> psutil.Process | None:
    """Return the core that a courier has started, when it runs our code already."""
    try:
        for child in psutil.Process(courier).children():
            if "enclave_workers.core" in child.cmdline():
                return child
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return None
    return None


def pair(courier: int) -> Pair:
    """Return a courier and its core, waiting for the core to be started."""
    eventually(lambda: core_of(courier) is not None, f"a core of the courier {courier}")
    core = core_of(courier)
    assert core is not None
    return Pair(psutil.Process(courier), core)


def is_gone(process: psutil.Process) -> bool:
    """Tell whether a process has ended; one that only waits to be reaped has."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def all_gone(processes: list[psutil.Process], seconds: float = GONE_SECONDS) -> None:
    """Wait until every one of these has ended, and name those that have not."""
    eventually(
        lambda: all(map(is_gone, processes)),
        f"gone: {[one.pid for one in processes]}",
        seconds,
    )


def open_files(pid: int) -> dict[int, str]:
    """Return what each file descriptor of a process is."""
    found = {}
    for path in Path(f"/proc/{pid}/fd").iterdir():
        found[int(path.name)] = str(path.readlink())
    return found


def inode(link: str) -> int | None:
    """Return the inode of a descriptor that is a socket."""
    return int(link[8:-1]) if link.startswith("socket:[") else None


def tcp_sockets(pid: int) -> list[Socket]:
    """Return the TCP sockets of one process, of those that its network namespace has."""
    own = {inode(link) for link in open_files(pid).values()}
    found = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            words = line.split()
            found.append(Socket(words[1], words[2], words[3], int(words[9])))
    return [one for one in found if one.inode in own]


def mapped_files(pid: int) -> set[str]:
    """Return the files that a process has mapped, its shared libraries among them."""
    lines = Path(f"/proc/{pid}/maps").read_text().splitlines()
    parts = [line.split(maxsplit=5) for line in lines]
    return {words[5] for words in parts if len(words) == 6 and words[5].startswith("/")}


def environment(pid: int) -> dict[str, str]:
    """Return the variables that a process was started with."""
    entries = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
    return dict(entry.split("=", 1) for entry in entries if entry)
