"""Fashion-MNIST as Debian packs it, 70,000 pictures of 28 by 28 pixels, and a small CNN."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from chiron_stream.errors import UsageRefused
from chiron_stream.recipe.replaying import Spec
from examples.demo.data import CLASSES, LABEL, SEED, Data, Pace
from examples.demo.scaled import Scaled

DEBIAN: Final = Path("/usr/share/datasets/fashion-mnist")
"""Where the package ``dataset-fashion-mnist`` has its four files."""

NAMES: Final = ("t-shirt", "trouser", "pullover", "dress", "coat")
MORE_NAMES: Final = ("sandal", "shirt", "sneaker", "bag", "ankle-boot")
SIDE: Final = 28
PACE: Final = Pace(rows_per_shard=250, shards_per_slot=4, window=5, passes=2, alone=2, together=6)
FILES: Final = {
    (part, kind): f"{part}-{kind}-ubyte.gz"
    for part in ("train", "t10k")
    for kind in ("images-idx3", "labels-idx1")
}


def is_there(folder: Path = DEBIAN) -> bool:
    """Tell whether all four files are in a folder."""
    return all((folder / name).is_file() for name in FILES.values())


def load(folder: Path | None) -> Data:
    """Return the pictures as they are split by those who made the set.

    :param folder: with the four files, gzipped; none: where Debian puts them.
    :raises UsageRefused: a file is missing, or is not what its name says.
    """
    place = folder or DEBIAN
    if not is_there(place):
        raise UsageRefused(
            f"Fashion-MNIST is not in {place}",
            expected=", ".join(FILES.values()),
            hint="apt install dataset-fashion-mnist, or name a folder: DATA_DIR=…",
        )
    return Data(
        name="fashion-mnist",
        column={
            "kind": "tensor",
            "name": "image",
            "shape": [1, SIDE, SIDE],
            "dtype": "uint8",
            "low": 0,
            "high": 255,
        },
        classes=[*NAMES, *MORE_NAMES],
        train=_part(place, "train"),
        test=_part(place, "t10k"),
        spec=spec(),
        pace=PACE,
        shard_classes=[[1, 262_144]],
        floor=0.88,
        time="about ten minutes behind the set-up",
        disk_mb=800,
    )


def _part(folder: Path, part: str) -> dict[str, npt.NDArray[Any]]:
    images = _values(folder / FILES[part, "images-idx3"], 3)
    labels = _values(folder / FILES[part, "labels-idx1"], 1)
    return {"image": images.reshape(-1, 1, SIDE, SIDE), LABEL: labels.astype(np.int64)}


def _values(path: Path, dimensions: int) -> npt.NDArray[np.uint8]:
    """Read an IDX file of bytes: 0, 0, 8, dimensions; each size in 4 bytes; the values."""
    data = gzip.decompress(path.read_bytes())
    head = 4 + 4 * dimensions
    shape = np.frombuffer(data[4:head], dtype=">u4").tolist()
    if data[:4] != bytes([0, 0, 8, dimensions]) or len(data) - head != _product(shape):
        raise UsageRefused(
            f"{path} does not read",
            expected=f"an IDX file of bytes in {dimensions} dimensions",
            got=f"{len(data)} bytes that begin with {data[:4].hex()}",
        )
    return np.frombuffer(data, np.uint8, offset=head).reshape(shape)


def _product(sizes: Sequence[int]) -> int:
    return int(np.prod(sizes, dtype=np.int64))


def spec() -> Spec:
    """Return what the provider's recipe is made of; its weights are seeded."""
    torch.manual_seed(SEED)
    return Spec(
        module=Scaled(
            *(nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Flatten(), nn.Linear(32 * 49, 64), nn.ReLU(), nn.Linear(64, CLASSES)),
        ),
        loss=nn.CrossEntropyLoss(),
        inputs={"image": "image"},
        target=LABEL,
        optimizer=partial(torch.optim.Adam, lr=1e-3),
        batch_size=50,
    )
