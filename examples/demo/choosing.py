"""Which data the demo runs on."""

from __future__ import annotations

from examples.demo import cifar, digits, fashion
from examples.demo.data import Data
from examples.demo.options import Options


def choose(options: Options) -> Data:
    """Return the data that the options name.

    :raises UsageRefused: its files are missing or do not read.
    """
    name = options.data or ("fashion-mnist" if fashion.is_there() else "digits")
    if name == "cifar10":
        return cifar.load(options.folder)
    return fashion.load(options.folder) if name == "fashion-mnist" else digits.load()
