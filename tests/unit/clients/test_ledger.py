"""The ledger in checkpoints: none is refunded, and none rises above what the policy grants."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from chiron_stream.clients.receipts import check_ledger
from chiron_stream.errors import TamperDetected
from tests.unit.core.story import with_disclosure
from tests.unit.wire.test_receipts import CHECKPOINT

GRANTED = with_disclosure(progress_bits=4, progress_ceiling=100, score_every=1, score_ceiling=50)
REPORT = 4 + 5 + 8
BEFORE = replace(CHECKPOINT, disclosed=2 * REPORT, scored=3)


@pytest.mark.parametrize(("disclosed", "scored"), [(0, 0), (0, 2), (REPORT, 0), (REPORT, 1)])
def test_ledger_may_rise_by_a_report_and_a_score_for_each_owner(
    disclosed: int, scored: int
) -> None:
    after = replace(BEFORE, disclosed=BEFORE.disclosed + disclosed, scored=3 + scored)
    check_ledger(GRANTED, BEFORE, after)


@pytest.mark.parametrize(
    "parts",
    [
        {"disclosed": 2 * REPORT - 1},
        {"disclosed": REPORT},
        {"disclosed": 2 * REPORT + 1},
        {"disclosed": 4 * REPORT},
        {"scored": 2},
        {"scored": 6},
    ],
    ids=str,
)
def test_ledger_is_refused_that_falls_or_leaps(parts: dict[str, Any]) -> None:
    with pytest.raises(TamperDetected) as caught:
        check_ledger(GRANTED, BEFORE, replace(BEFORE, **parts))
    assert caught.value.code == "LEDGER"


def test_ledger_above_the_ceiling_is_refused() -> None:
    before = replace(BEFORE, disclosed=5 * REPORT)
    with pytest.raises(TamperDetected):
        check_ledger(GRANTED, before, replace(before, disclosed=6 * REPORT))


@pytest.mark.parametrize("parts", [{"disclosed": 13}, {"scored": 1}], ids=str)
def test_ledger_of_what_is_not_granted_is_refused(parts: dict[str, Any]) -> None:
    with pytest.raises(TamperDetected):
        check_ledger(with_disclosure(), None, replace(CHECKPOINT, **parts))
    check_ledger(with_disclosure(), None, CHECKPOINT)
