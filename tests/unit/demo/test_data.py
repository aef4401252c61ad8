"""Data of the demo: who has which rows, and files that are missing or do not read."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from chiron_stream.errors import UsageRefused
from chiron_stream.job.schedule import Kind
from examples.demo import cifar, digits, fashion
from examples.demo.choosing import choose
from examples.demo.data import FIRST, LABEL, SECOND, Data
from examples.demo.options import Options

IMAGES = 7


@pytest.fixture(scope="module")
def small() -> Data:
    return digits.load()


@pytest.mark.parametrize(("owner", "classes"), [(FIRST, range(5)), (SECOND, range(5, 10))])
def test_owners_have_the_rows_of_their_classes_only(
    small: Data, owner: str, classes: range
) -> None:
    day = small.day(owner, 3)
    assert set(day[LABEL].tolist()) == set(classes)
    assert len(day[LABEL]) == len(day["pixels"]) == small.pace.rows_per_day


def test_days_are_drawn_by_seed_and_differ(small: Data) -> None:
    again, other = small.day(FIRST, 3), small.day(FIRST, 4)
    assert np.array_equal(small.day(FIRST, 3)["pixels"], again["pixels"])
    assert not np.array_equal(again["pixels"], other["pixels"])


def test_windows_of_the_job_are_filled_by_two_days_exactly(small: Data) -> None:
    schedule = small.terms("demo").schedule
    shards = schedule["window"] * schedule["slots"] * schedule["shards_per_slot"]
    assert schedule["kind"] is Kind.OPEN
    assert schedule["owner_slots"] == schedule["slots"]
    assert 2 * small.pace.rows_per_day == shards * small.pace.rows_per_shard


def test_story_has_its_events_in_order() -> None:
    for pace in (digits.PACE, fashion.PACE, cifar.PACE):
        assert 0 < pace.join_at < pace.round_at(0) < pace.round_at(0.3) < pace.round_at(0.6)
        assert pace.round_at(0.6) < pace.rounds
        assert pace.rounds % pace.release_every == 0  # the last version is released


def write_fashion(folder: Path) -> None:
    for (_part, kind), name in fashion.FILES.items():
        shape = (IMAGES, 28, 28) if kind == "images-idx3" else (IMAGES,)
        values = (np.arange(np.prod(shape)) % 10).astype(np.uint8)
        head = bytes([0, 0, 8, len(shape)]) + np.array(shape, ">u4").tobytes()
        (folder / name).write_bytes(gzip.compress(head + values.tobytes()))


def test_fashion_mnist_is_read_from_a_folder(tmp_path: Path) -> None:
    write_fashion(tmp_path)
    data = choose(Options("fashion-mnist", tmp_path))
    assert data.train["image"].shape == (IMAGES, 1, 28, 28)
    assert data.train["image"][0, 0, 0, :4].tolist() == [0, 1, 2, 3]
    assert data.test[LABEL].tolist() == list(range(IMAGES))


def test_fashion_mnist_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageRefused, match="Fashion-MNIST is not in"):
        choose(Options("fashion-mnist", tmp_path))


def test_fashion_mnist_that_is_cut_off_is_named(tmp_path: Path) -> None:
    write_fashion(tmp_path)
    path = tmp_path / "t10k-labels-idx1-ubyte.gz"
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes())[:-1]))
    with pytest.raises(UsageRefused, match=r"t10k-labels-idx1-ubyte\.gz does not read"):
        choose(Options("fashion-mnist", tmp_path))


def write_cifar(folder: Path) -> None:
    for name in (*cifar.TRAIN_FILES, cifar.TEST_FILE):
        records = np.zeros((IMAGES, cifar.RECORD), np.uint8)
        records[:, 0], records[:, 1], records[:, -1] = range(IMAGES), 11, 22
        (folder / name).write_bytes(records.tobytes())


def test_cifar10_is_read_from_the_user_s_copy(tmp_path: Path) -> None:
    write_cifar(tmp_path)
    data = choose(Options("cifar10", tmp_path))
    assert data.train["image"].shape == (5 * IMAGES, 3, 32, 32)
    assert (data.test["image"][0, 0, 0, 0], data.test["image"][0, 2, 31, 31]) == (11, 22)
    assert data.test[LABEL].tolist() == list(range(IMAGES))


def test_cifar10_needs_a_folder() -> None:
    with pytest.raises(UsageRefused, match="your own copy"):
        choose(Options("cifar10"))


def test_cifar10_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageRefused, match=r"there is no .*data_batch_1\.bin"):
        choose(Options("cifar10", tmp_path))


@pytest.mark.parametrize("altered", [b"", b"\x0a" + bytes(3072), bytes(3074)])
def test_cifar10_of_another_kind_is_named(tmp_path: Path, altered: bytes) -> None:
    write_cifar(tmp_path)
    (tmp_path / "data_batch_3.bin").write_bytes(altered)
    with pytest.raises(UsageRefused, match=r"data_batch_3\.bin does not read"):
        choose(Options("cifar10", tmp_path))


def test_pictures_are_mirrored_and_moved_and_nothing_else() -> None:
    rows = np.zeros((200, 3, 32, 32), np.uint8)
    rows[:, :, 10:20, 8:20] = np.arange(12, dtype=np.uint8) + 1  # rises from left to right
    made = cifar.flipped_and_moved(np.random.default_rng(1), rows)
    assert (made.shape, made.dtype) == (rows.shape, rows.dtype)
    assert (made.sum(axis=(1, 2, 3)) == rows.sum(axis=(1, 2, 3))).all()
    rising = [np.diff(one[0, one[0].any(1)][0].astype(int)).max() == 1 for one in made]
    assert 50 < sum(rising) < 150  # about half of them are mirrored
    tops = {int(np.flatnonzero(one[0].any(1))[0]) for one in made}
    assert tops == set(range(10 - cifar.MARGIN, 10 + cifar.MARGIN + 1))


def test_data_that_is_too_small_for_a_day_is_refused(tmp_path: Path) -> None:
    write_cifar(tmp_path)
    data = choose(Options("cifar10", tmp_path))
    with pytest.raises(UsageRefused, match="cifar10 is too small"):
        data.day(FIRST, 0)
