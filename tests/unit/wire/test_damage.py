"""The controls of the tests' own tools: each notices what it is there to notice."""

from __future__ import annotations

import pytest

from chiron_stream.wire.crypto import gcm_seal
from tests.unit.wire.damage import assert_only_the_original_reads, damaged, flip, rearranged
from tests.unit.wire.nonces import NonceMonitor
from tests.unit.wire.parties import KEY


def test_damage_never_gives_the_original() -> None:
    data = bytes(range(50))
    assert all(forged != data for _, forged in damaged(data))
    assert {flip(data, at) for at in range(50)} - {forged for _, forged in damaged(data)}


def test_reader_that_takes_everything_is_noticed() -> None:
    with pytest.raises(pytest.fail.Exception, match="byte 0 flipped"):
        assert_only_the_original_reads(bytes, b"anything")


def test_rearranging_never_gives_the_original() -> None:
    records = [b"a", b"b", b"c"]
    assert all(one != records for _, one in rearranged(records))
    assert len(list(rearranged(records))) == 8


def test_monitor_notices_a_nonce_that_meets_two_contents(nonces: NonceMonitor) -> None:
    gcm_seal(KEY, 1, b"one", b"")
    gcm_seal(KEY, 1, b"one", b"")
    assert (nonces.resent, nonces.reused) == (1, 0)
    gcm_seal(KEY, 1, b"two", b"")
    assert nonces.reused == 1


def test_monitor_notices_other_associated_data_under_one_nonce(nonces: NonceMonitor) -> None:
    gcm_seal(KEY, 1, b"one", b"a")
    gcm_seal(KEY, 1, b"one", b"b")
    assert nonces.reused == 1
