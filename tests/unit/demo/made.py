"""Small data for tests of the demo's parts, and the facts of a run in which all went well."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from examples.demo import digits
from examples.demo.data import LABEL, Data

ROWS = 40


def data() -> Data:
    """Return the digits with few test rows."""
    whole = digits.load()
    few = {name: array[:ROWS] for name, array in whole.test.items()}
    return replace(whole, test=few)


def truth(made: Data) -> list[str]:
    """Return the class of each test row."""
    return [made.classes[code] for code in made.test[LABEL]]


FACTS: dict[str, Any] = {
    "accuracy": 0.97,
    "accuracy_floor": 0.95,
    "accuracy_a": 0.98,
    "accuracy_b": 0.96,
    "accuracy_b_before": 0.0,
    "equal_rounds": 98,
    "rounds": 98,
    "parameters_sha256": "ab" * 32,
    "reference_sha256": "ab" * 32,
    "answers_equal_reference": True,
    "answers_different": 0,
    "answers": 1000,
    "queries": 1000,
    "killed": ["trainer-1", "predictor-0"],
    "receipts_verified": 760,
    "shards": 760,
    "operator_hits": 0,
    "control_hits": 1300,
    "control_rows": 1300,
    "flipped_byte": ["SHARD_DIGEST", "DOES_NOT_OPEN"],
    "unflipped_byte": ["ACCEPTED", "ACCEPTED"],
    "other_code": "EvidenceRefused",
    "this_code": "ACCEPTED",
    "processes_left": 0,
}
