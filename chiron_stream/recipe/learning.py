"""Who learns what of the rows, in bits: the channels that a recipe's computation can write to.

A recipe is untrusted code beside secret data. What leaves a worker because of it is a list that the
policy decides, and each entry is bounded by the bits that it can hold, whatever the recipe does.
Sizes, counts and times are no part of it: no row decides them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from chiron_stream.job.disclosure import Disclosure, Form
from chiron_stream.job.fields import MAX_ROWS
from chiron_stream.job.measures import score_bits
from chiron_stream.job.policy import Policy, Role
from chiron_stream.job.schema import Column, LabelColumn

REASON_BITS: Final = 2
"""Of a slot: trained, a graph that does not run on its rows, or a number that is not finite."""

DIGEST_BITS: Final = 256
"""Of one digest in a plan."""

DIGESTS_OF_A_ROUND: Final = 3
"""Base, result and parameters; each slot has its own two besides."""


@dataclass(frozen=True)
class Channel:
    """What one recipient is told.

    :param recipient: a member's name, or everybody who reads the topics.
    :param told: in words.
    :param bits: of one time, at most.
    :param each: how often: "round", "slot", "answer", "score".
    :param ceiling: bits of the whole job, at most; None where the policy sets no bound and the
        number of rounds does.
    """

    recipient: str
    told: str
    bits: int
    each: str
    ceiling: int | None

    def __str__(self) -> str:
        """Return the line for people."""
        total = "without a ceiling" if self.ceiling is None else f"{self.ceiling:,} in all"
        noun = "bit" if self.bits == 1 else "bits"
        return f"{self.recipient}: {self.bits:,} {noun} each {self.each}, {total}: {self.told}"


def channels(policy: Policy) -> tuple[Channel, ...]:
    """Return every channel of a job, widest audience first."""
    return (
        Channel("everybody", "whether a slot was left out as VOID", 1, "slot", None),
        *_of_provider(policy),
        *_of_owners(policy),
        *_of_clients(policy),
        *_of_auditors(policy),
    )


def answer_bits(terms: Disclosure, target: Column) -> int:
    """Return the bits of one answer: rounded up, of as many as its form can tell apart."""
    classes = len(target.classes) if isinstance(target, LabelColumn) else 1
    if terms.form is Form.ROUNDED:
        return classes * terms.bits
    chosen = terms.k if terms.form is Form.TOP_K else 1
    orders = math.perm(classes, chosen)
    return (orders - 1).bit_length() + (chosen * terms.bits if terms.form is Form.TOP_K else 0)


def _named(policy: Policy, role: Role) -> list[str]:
    return [one.name for one in policy.roster if one.role is role]


def _of_provider(policy: Policy) -> Iterator[Channel]:
    terms = policy.disclosure
    if terms.progress_bits:
        told = "the loss, the gradients' power of two, how many shards were VOID"
        for name in _named(policy, Role.PROVIDER):
            yield Channel(name, told, terms.report_bits, "round", terms.progress_ceiling)


def _of_owners(policy: Policy) -> Iterator[Channel]:
    terms, target = policy.disclosure, policy.schema.target
    words = "correct rows" if isinstance(target, LabelColumn) else "error"
    score = f"the {words} on its own rows for evaluation, every {terms.score_every} releases"
    bits = score_bits(target, MAX_ROWS)
    for name in _named(policy, Role.OWNER):
        yield Channel(name, "why a slot of its own was left out", REASON_BITS, "slot", None)
        if terms.score_every:
            yield Channel(name, score, bits, "score", terms.score_ceiling)


def _of_clients(policy: Policy) -> Iterator[Channel]:
    terms, target = policy.disclosure, policy.schema.target
    bits = answer_bits(terms, target)
    told = f"answers in the form {terms.form.name.lower()}"
    for name in _named(policy, Role.CLIENT):
        yield Channel(name, told, bits, "answer", bits * terms.answers_per_client)


def _of_auditors(policy: Policy) -> Iterator[Channel]:
    slots = policy.schedule.slots
    bits = DIGEST_BITS * (DIGESTS_OF_A_ROUND + 2 * slots)
    for name in _named(policy, Role.AUDITOR):
        yield Channel(name, "the plan with the digests of states", bits, "round", None)
