"""Each claim of the demo fails when what it is about went otherwise."""

from __future__ import annotations

from typing import Any

import pytest

from examples.demo.judging import CLAIMS, not_true
from tests.unit.demo.made import FACTS

WRONG: list[tuple[str, dict[str, Any]]] = [
    ("the accuracy is high enough", {"accuracy": 0.94}),
    ("B's classes are unknown before B joins", {"accuracy_b_before": 0.4}),
    ("B's classes are learnt behind that", {"accuracy_b": 0.1}),
    ("A's classes are not forgotten", {"accuracy_a": 0.5}),
    ("every round has the bits of plain PyTorch", {"equal_rounds": 97}),
    ("the parameters are those of plain PyTorch", {"reference_sha256": "cd" * 32}),
    (
        "every answer is that of plain PyTorch",
        {"answers_different": 1, "answers_equal_reference": False},
    ),
    ("every query was answered", {"queries": 1001}),
    ("a trainer and a predictor were killed", {"killed": ["trainer-0"]}),
    ("every shard has a receipt of each pass", {"receipts_verified": 759}),
    ("no row is at the broker", {"operator_hits": 1}),
    ("unsealed rows are found by the same search", {"control_hits": 0}),
    ("a flipped byte is refused by name", {"flipped_byte": ["SHARD_DIGEST", "ACCEPTED"]}),
    ("an untouched copy is accepted", {"unflipped_byte": ["SHARD_DIGEST", "ACCEPTED"]}),
    ("a coordinator of other code is refused by name", {"other_code": "ACCEPTED"}),
    ("the coordinator of this code is accepted", {"this_code": "EvidenceRefused"}),
    ("nothing is left running", {"processes_left": 1}),
]


def test_nothing_is_untrue_of_a_run_that_went_well() -> None:
    assert not_true(FACTS) == []


@pytest.mark.parametrize(("claim", "changed"), WRONG, ids=lambda one: str(one)[:40])
def test_claim_is_named_when_its_facts_are_otherwise(claim: str, changed: dict[str, Any]) -> None:
    assert not_true({**FACTS, **changed}) == [claim]


def test_every_claim_has_a_case_here() -> None:
    assert {claim for claim, _ in WRONG} == set(CLAIMS)
