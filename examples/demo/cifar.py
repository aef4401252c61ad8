"""CIFAR-10 from the user's own copy, 60,000 colour pictures of 32 by 32 pixels, and VGG-9.

The copy is the binary version (``cifar-10-batches-bin``): six files of 10,000 records, each a class
in one byte and 3072 bytes of pixels. The Python version is pickled, and is not read.
"""

from __future__ import annotations

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
from examples.networks import VGG9

SIDE: Final = 32
WIDTH: Final = 16
RECORD: Final = 1 + 3 * SIDE * SIDE
TRAIN_FILES: Final = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
TEST_FILE: Final = "test_batch.bin"
NAMES: Final = ("airplane", "automobile", "bird", "cat", "deer")
MORE_NAMES: Final = ("dog", "frog", "horse", "ship", "truck")
MARGIN: Final = 4
"""Pixels that a picture is moved by, at most."""

PACE: Final = Pace(rows_per_shard=250, shards_per_slot=2, window=10, passes=2, alone=2, together=10)


def load(folder: Path | None) -> Data:
    """Return the pictures as they are split by those who made the set.

    :param folder: with the six files of the binary version.
    :raises UsageRefused: none is named, a file is missing, or is not what its name says.
    """
    if folder is None:
        raise UsageRefused(
            "CIFAR-10 is your own copy: where is it?",
            expected="a folder with the binary version",
            hint="DATA=cifar10 DATA_DIR=…/cifar-10-batches-bin make demo",
        )
    return Data(
        name="cifar10",
        column={
            "kind": "tensor",
            "name": "image",
            "shape": [3, SIDE, SIDE],
            "dtype": "uint8",
            "low": 0,
            "high": 255,
        },
        classes=[*NAMES, *MORE_NAMES],
        train=_rows([folder / name for name in TRAIN_FILES]),
        test=_rows([folder / TEST_FILE]),
        spec=spec(),
        pace=PACE,
        shard_classes=[[1, 786_432]],
        floor=0.5,
        time="about an hour behind the set-up",
        disk_mb=3000,
        augment=flipped_and_moved,
    )


def _rows(paths: list[Path]) -> dict[str, npt.NDArray[Any]]:
    records = np.concatenate([_records(path) for path in paths])
    images = np.ascontiguousarray(records[:, 1:]).reshape(-1, 3, SIDE, SIDE)
    return {"image": images, LABEL: records[:, 0].astype(np.int64)}


def _records(path: Path) -> npt.NDArray[np.uint8]:
    if not path.is_file():
        raise UsageRefused(
            f"there is no {path}",
            expected=f"the binary version: {', '.join((*TRAIN_FILES, TEST_FILE))}",
        )
    data = np.frombuffer(path.read_bytes(), np.uint8)
    if not len(data) or len(data) % RECORD or data[::RECORD].max() >= CLASSES:
        raise UsageRefused(
            f"{path} does not read",
            expected=f"records of {RECORD} bytes, the first one a class below {CLASSES}",
            got=f"{len(data)} bytes",
        )
    return data.reshape(-1, RECORD)


def flipped_and_moved(dice: np.random.Generator, rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return pictures, half of them mirrored, each moved by a few pixels over a black margin.

    The owner does it before sealing: a day's pictures are other bytes than those of the day before.

    :param rows: ``[rows, channels, side, side]``; the result has the same shape and dtype.
    """
    mirrored = dice.random(len(rows)) < 0.5
    turned = np.where(mirrored[:, None, None, None], rows[..., ::-1], rows)
    padding = ((0, 0), (0, 0), (MARGIN, MARGIN), (MARGIN, MARGIN))
    wide = np.pad(turned, padding)
    places = dice.integers(0, 2 * MARGIN + 1, (len(rows), 2))
    side = rows.shape[-1]
    cut = [
        one[:, top : top + side, left : left + side]
        for one, (top, left) in zip(wide, places, strict=True)
    ]
    return np.stack(cut)


def spec() -> Spec:
    """Return what the provider's recipe is made of; its weights are seeded."""
    torch.manual_seed(SEED)
    return Spec(
        module=Scaled(VGG9(WIDTH, CLASSES, SIDE)),
        loss=nn.CrossEntropyLoss(),
        inputs={"image": "image"},
        target=LABEL,
        optimizer=partial(torch.optim.Adam, lr=1e-3),
        batch_size=50,
    )
