"""From scores to what the policy lets out: nothing finer, whatever the scores are."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chiron_stream.job.policy import Form
from enclave_workers.core.coordinator.events import cut
from enclave_workers.core.predictor.forms import Disclosed, disclose
from tests.unit.core.story import POLICY, with_disclosure
from tests.unit.job.builders import REGRESSION

scores = st.lists(st.floats(width=32), min_size=3, max_size=3)


def array(*values: float) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    return np.array(values, np.float32)


def test_label_is_the_best_class_and_nothing_else() -> None:
    assert disclose(POLICY, array(0.1, 3.0, 2.0)) == Disclosed((1,), ())


def test_top_k_without_bits_is_an_order_and_nothing_else() -> None:
    policy = with_disclosure(form=Form.TOP_K, k=2)
    assert disclose(policy, array(0.1, 3.0, 2.0)) == Disclosed((1, 2), ())


@given(values=scores, bits=st.integers(1, 8))
def test_scores_are_chances_in_steps_of_the_policy_s_bits(values: list[float], bits: int) -> None:
    found = disclose(with_disclosure(form=Form.ROUNDED, bits=bits), array(*values))
    assert sorted(found.classes) == [0, 1, 2]
    assert all(0 <= one <= 1 and (one * 2**bits).is_integer() for one in found.values)


@pytest.mark.parametrize("value", [math.nan, -math.inf])
def test_score_that_is_no_number_is_the_worst(value: float) -> None:
    assert disclose(POLICY, array(value, -5.0, -9.0)).classes == (1,)


@given(value=st.floats(width=32), bits=st.integers(1, 8))
def test_target_is_in_its_range_in_even_steps(value: float, bits: int) -> None:
    disclosure = with_disclosure(form=Form.ROUNDED, bits=bits).disclosure
    policy = replace(POLICY, schema=REGRESSION, disclosure=disclosure)
    (found,) = disclose(policy, array(value)).values
    assert 0 <= found <= 400
    assert (found / 400 * 2**bits).is_integer()


@given(text=st.text(max_size=200), most=st.integers(0, 100))
def test_cut_text_fits_and_is_a_beginning(text: str, most: int) -> None:
    made = cut(text, most)
    assert len(made.encode()) <= most
    assert text.startswith(made)
