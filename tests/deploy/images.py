"""An image for tests, and a whole job whose cores run from it; the broker is in memory."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import nn

from chiron_stream.job.terms import read_terms
from chiron_stream.recipe import Recipe
from chiron_stream.simulation.authority import Authority
from chiron_stream.simulation.service import answer
from deploy.gramine.contents import gpu_build, image_files
from deploy.gramine.libraries import RUNTIME, with_libraries
from enclave_workers.courier.serving import Outside, Server
from enclave_workers.local import LocalJob

ROOT = Path(__file__).parents[2]
ACCEPT_SECONDS = 120.0


@cache
def files(*, gpu: bool) -> Mapping[str, Path]:
    """The files of an image, with libraries; cached, for it takes seconds."""
    return with_libraries(image_files(gpu=gpu), gpu=gpu)


def startable() -> Mapping[str, Path]:
    """The files of an image that starts: of a GPU build of torch, with its GPU libraries."""
    return files(gpu=gpu_build())


@contextmanager
def scratch() -> Iterator[Path]:
    """A directory beside the packages, so that hard links can be made."""
    (ROOT / "build").mkdir(exist_ok=True)
    with TemporaryDirectory(dir=ROOT / "build") as path:
        yield Path(path)


def furnish(image: Path) -> None:
    """Add what Gramine gives and chroot does not: the C library, random bytes, the processor."""
    for name in RUNTIME:
        shutil.copy(f"/lib/x86_64-linux-gnu/{name}", image / "lib" / name)
    for folder in ("dev", "proc", "lib64"):
        (image / folder).mkdir()
    shutil.copy("/lib64/ld-linux-x86-64.so.2", image / "lib64")
    os.mknod(image / "dev/urandom", 0o20666, os.makedev(1, 9))
    (image / "proc/cpuinfo").write_bytes(Path("/proc/cpuinfo").read_bytes())


@contextmanager
def core(
    job: LocalJob, command: Sequence[str], environment: Mapping[str, str], directory: Path
) -> Iterator[None]:
    """Run a core's process and its courier, which is a thread of ours."""
    authority = Authority.load(job.directory.quoting)
    outside = Outside(
        job.directory.job_file.read_text("utf-8"),
        1,
        lambda request: answer(authority, request, int(time.time())),
    )
    effects = job.effects()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(ACCEPT_SECONDS)
        port = str(listener.getsockname()[1])
        process = subprocess.Popen(
            command, env={**environment, "CHIRON_COURIER_PORT": port}, cwd=directory
        )
        try:
            connection, _ = listener.accept()
            connection.settimeout(None)
            server = Server(effects, outside, lambda _progress: None)
            thread = threading.Thread(target=_serve, args=(server, connection))
            thread.start()
            yield
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            thread.join()
            connection.close()
            assert process.wait(30) == 0
        finally:
            process.kill()
            process.wait()
            effects.close()


def _serve(server: Server, connection: socket.socket) -> None:
    with suppress(OSError):  # the connection was shut
        server.serve(connection)


def train_and_predict(
    commands: Mapping[str, Sequence[str]], environment: Mapping[str, str], directory: Path
) -> object:
    """Run a small job, the cores of some roles by these commands; return one answer."""
    terms = read_terms(
        {
            "name": "tutorial",
            "owners": {"alice": ["points"]},
            "provider": "bob",
            "clients": ["carol"],
            "columns": [
                {"name": "x", "kind": "number", "low": -1, "high": 1},
                {"name": "side", "kind": "label", "classes": ["left", "right"]},
            ],
        }
    )
    here = {role: 1 for role in ("coordinator", "trainer", "predictor") if role not in commands}
    x = np.linspace(-1, 1, 400, dtype=np.float32)
    rows = {"x": x, "side": ["left" if one < 0 else "right" for one in x]}
    with LocalJob(terms, workers=here) as job, ExitStack() as cores:
        for command in commands.values():
            cores.enter_context(core(job, command, environment, directory))
        job.provider().publish(_recipe())
        job.owner("alice").publish(rows, dataset="points").wait("trained", timeout=60)
        return job.client("carol").predict({"x": 0.5}).value


def _recipe() -> Recipe:
    return Recipe.export(
        nn.Sequential(nn.Linear(1, 2)),
        loss=nn.CrossEntropyLoss(),
        inputs={"input": ["x"]},
        target="side",
        optimizer=partial(torch.optim.SGD, lr=1.0),
        batch_size=16,
    )
