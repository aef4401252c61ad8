"""What the environment may ask of the demo."""

from __future__ import annotations

from pathlib import Path

import pytest

from chiron_stream.errors import UsageRefused
from examples.demo.options import Options, read_options


def test_nothing_asked_for_is_the_default() -> None:
    assert read_options({"DATA": "", "KEEP": "", "HOME": "/root"}) == Options(None, None, False)


def test_all_of_it_is_read() -> None:
    asked = {"DATA": "cifar10", "DATA_DIR": "/data", "KEEP": "1"}
    assert read_options(asked) == Options("cifar10", Path("/data"), True)


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"DATA": "mnist"}, "DATA is not known"),
        ({"DATA": "Digits"}, "DATA is not known"),
        ({"KEEP": "yes"}, "KEEP is not known"),
        ({"DATA_DIR": "/data"}, "DATA_DIR names a folder for no data"),
        ({"DATA": "digits", "DATA_DIR": "/data"}, "DATA_DIR names a folder for no data"),
    ],
)
def test_what_cannot_mean_anything_is_refused(environment: dict[str, str], said: str) -> None:
    with pytest.raises(UsageRefused, match=said):
        read_options(environment)
