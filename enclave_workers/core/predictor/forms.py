"""From scores to what the policy lets out: nothing finer ever leaves this module."""

from __future__ import annotations

import math
from typing import NamedTuple

from chiron_stream.job.columns import Array
from chiron_stream.job.policy import Form, Policy
from chiron_stream.job.schema import TargetColumn


class Disclosed(NamedTuple):
    """Class indices, and rounded scores where the form has them."""

    classes: tuple[int, ...]
    values: tuple[float, ...]


def disclose(policy: Policy, scores: Array) -> Disclosed:
    """Return one row's prediction in the policy's form.

    :param scores: float32, ``[classes]`` logits, or one number for a target.
    """
    flat = [float(score) for score in scores.reshape(-1)]
    disclosure, target = policy.disclosure, policy.schema.target
    if isinstance(target, TargetColumn):
        return Disclosed((), (_rounded_target(target, flat[0], disclosure.bits),))
    order = sorted(range(len(flat)), key=lambda one: (-_ordered(flat[one]), one))
    if disclosure.form is Form.LABEL:
        return Disclosed((order[0],), ())
    chances = _softmax(flat)
    best = (
        tuple(order[: disclosure.k]) if disclosure.form is Form.TOP_K else tuple(range(len(flat)))
    )
    if not disclosure.bits:
        return Disclosed(best, ())
    return Disclosed(best, tuple(_rounded(chances[one], disclosure.bits) for one in best))


def _ordered(score: float) -> float:
    return -math.inf if math.isnan(score) else score


def _softmax(scores: list[float]) -> list[float]:
    top = max(_ordered(score) for score in scores)
    if math.isinf(top):
        return [1 / len(scores)] * len(scores)
    weights = [math.exp(_ordered(score) - top) for score in scores]
    total = math.fsum(weights)
    return [weight / total for weight in weights]


def _rounded(value: float, bits: int) -> float:
    """Round a number from 0 to 1 to a multiple of 2^-bits."""
    steps: int = 1 << bits
    return round(value * steps) / steps


def _rounded_target(target: TargetColumn, value: float, bits: int) -> float:
    """Round a target to one of 2^bits + 1 even steps of its range; what is outside is its end."""
    width = target.high - target.low
    share = 0.0 if math.isnan(value) else min(1.0, max(0.0, (value - target.low) / width))
    return target.low + _rounded(share, bits) * width
