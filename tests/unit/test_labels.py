"""Labels: distinct, in plain ASCII, none the beginning of another, and none without a use."""

from __future__ import annotations

import re
from itertools import permutations
from pathlib import Path

import pytest

from chiron_stream.wire import labels

ROOT = Path(__file__).parents[2]
LABELS = {name: value for name, value in vars(labels).items() if name.isupper()}


def test_there_are_as_many_labels_as_ever() -> None:
    assert len(LABELS) >= 40


def test_labels_are_distinct() -> None:
    assert len(set(LABELS.values())) == len(LABELS)


@pytest.mark.parametrize("name", LABELS)
def test_label_is_ascii_names_protocol_and_version_and_ends_in_nul(name: str) -> None:
    label = LABELS[name]
    assert type(label) is bytes
    assert label.startswith(b"chiron-stream/v1 ")
    assert label.endswith(b"\0")
    assert label.count(b"\0") == 1
    assert re.fullmatch(r"[a-z0-9/\- ]+", label[:-1].decode("ascii"))


def test_no_label_is_the_beginning_of_another() -> None:
    assert not [(a, b) for a, b in permutations(LABELS.values(), 2) if b.startswith(a)]


def test_every_label_is_used() -> None:
    sources = [*(ROOT / "chiron_stream").rglob("*.py"), *(ROOT / "enclave_workers").rglob("*.py")]
    text = "\n".join(path.read_text() for path in sources if path.name != "labels.py")
    used = set(re.findall(r"\blabels\.([A-Z_]+)\b", text))
    for names in re.findall(r"from chiron_stream\.wire\.labels import ([A-Z_, ]+)", text):
        used |= set(names.split(", "))
    assert set(LABELS) - used == set()
