"""What has to be true of a run: each claim by name, as a function of the facts alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from examples.demo.saying import Facts

Claim = Callable[[Mapping[str, Any]], bool]

CLAIMS: Final[Mapping[str, Claim]] = {
    "the accuracy is high enough": lambda f: f["accuracy"] >= f["accuracy_floor"],
    "B's classes are unknown before B joins": lambda f: f["accuracy_b_before"] < 0.1,
    "B's classes are learnt behind that": lambda f: f["accuracy_b"] > f["accuracy_floor"] - 0.1,
    "A's classes are not forgotten": lambda f: f["accuracy_a"] > f["accuracy_floor"] - 0.1,
    "every round has the bits of plain PyTorch": lambda f: f["equal_rounds"] == f["rounds"] > 0,
    "the parameters are those of plain PyTorch": lambda f: (
        f["parameters_sha256"] == f["reference_sha256"] != ""
    ),
    "every answer is that of plain PyTorch": lambda f: (
        f["answers_equal_reference"] and f["answers_different"] == 0 < f["answers"]
    ),
    "every query was answered": lambda f: f["answers"] == f["queries"],
    "a trainer and a predictor were killed": lambda f: (
        sorted(one.partition("-")[0] for one in f["killed"]) == ["predictor", "trainer"]
    ),
    "every shard has a receipt of each pass": lambda f: f["receipts_verified"] == f["shards"] > 0,
    "no row is at the broker": lambda f: f["operator_hits"] == 0,
    "unsealed rows are found by the same search": lambda f: (
        f["control_hits"] == f["control_rows"] > 0
    ),
    "a flipped byte is refused by name": lambda f: (
        f["flipped_byte"] == ["SHARD_DIGEST", "DOES_NOT_OPEN"]
    ),
    "an untouched copy is accepted": lambda f: f["unflipped_byte"] == ["ACCEPTED"] * 2,
    "a coordinator of other code is refused by name": lambda f: (
        f["other_code"] == "EvidenceRefused"
    ),
    "the coordinator of this code is accepted": lambda f: f["this_code"] == "ACCEPTED",
    "nothing is left running": lambda f: f["processes_left"] == 0,
}


def not_true(facts: Facts) -> list[str]:
    """Return the claims that did not come true."""
    return [name for name, claim in CLAIMS.items() if not claim(facts)]
