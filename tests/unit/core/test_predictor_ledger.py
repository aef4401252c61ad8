"""What a predictor boot takes from ``sessions``: each record once."""

from __future__ import annotations

import pytest

from chiron_stream.errors import TamperDetected
from chiron_stream.wire.serving import Grant, QuerySession
from enclave_workers.core.predictor.ledger import Ledger

BOOT = bytes([1]) * 16
SESSION = bytes([2]) * 16


def grant(index: int, count: int = 50, boot: bytes = BOOT) -> Grant:
    return Grant(SESSION, boot, count, 1000, index, bytes(32))


def test_grant_that_was_copied_to_a_later_offset_counts_once() -> None:
    ledger = Ledger(BOOT)
    ledger.take((7, 0), grant(7))
    with pytest.raises(TamperDetected) as refused:
        ledger.take((7, 0), grant(7))
    assert refused.value.code == "REPEAT"
    assert ledger.allowance(SESSION).count == 50


def test_grant_before_the_newest_record_is_refused() -> None:
    ledger = Ledger(BOOT)
    ledger.take((9, 0), QuerySession(SESSION, bytes(32), bytes(32), 0))
    with pytest.raises(TamperDetected):
        ledger.take((8, 3), grant(8))


def test_grants_in_the_journals_order_add_up() -> None:
    ledger = Ledger(BOOT)
    for index in (3, 4, 8):
        ledger.take((index, 0), grant(index))
    assert ledger.allowance(SESSION).count == 150


def test_grant_of_another_boot_gives_nothing() -> None:
    ledger = Ledger(BOOT)
    ledger.take((3, 0), grant(3, boot=bytes([9]) * 16))
    assert ledger.allowance(SESSION).count == 0
    assert not ledger.allowance(SESSION).exhausted


def test_empty_grant_means_that_the_ceiling_is_reached() -> None:
    ledger = Ledger(BOOT)
    ledger.take((3, 0), grant(3, count=0))
    assert ledger.allowance(SESSION).exhausted
