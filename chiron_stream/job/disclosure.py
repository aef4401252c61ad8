"""Disclosure: in which form answers leave, and how many of them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar, Final

from chiron_stream.job.refusal import expect, expect_between
from chiron_stream.job.schema import LabelColumn, Schema
from chiron_stream.wire.document import Document

MAX_BITS: Final = 24
"""Bits of a score, at most: what a float32 holds."""

MAX_ANSWERS: Final = 2**32 - 1


class Form(IntEnum):
    """What an answer tells of a prediction, from least to most."""

    LABEL = 1
    """The best class, nothing else."""
    TOP_K = 2
    """The k best classes in order, with scores of ``bits`` bits where ``bits`` is not 0."""
    ROUNDED = 3
    """Every class's score, or the target, rounded to ``bits`` bits."""


@dataclass(frozen=True)
class Disclosure(Document):
    """What answers may tell, and when.

    ``k`` is 0 but for TOP_K; ``bits`` is 0 for LABEL. A release needs rows of ``minimum_owners``
    owners and ``minimum_rows`` rows since the last. ``answers_per_client`` is a ceiling for each
    identity and the whole job; a predictor is granted ``grant_size`` answers at a time.
    """

    KIND: ClassVar[int] = 154
    form: Form
    k: int
    bits: int
    minimum_owners: int
    minimum_rows: int
    answers_per_client: int
    grant_size: int

    def check(self, schema: Schema, owners: int) -> None:
        """Raise :class:`JobRefused` unless form, schema and number of owners fit each other."""
        self._check_form(schema)
        expect_between(self.minimum_owners, 1, owners, "the minimum of owners of a release")
        expect_between(self.minimum_rows, 1, 2**63, "the minimum of rows of a release")
        expect_between(self.answers_per_client, 1, MAX_ANSWERS, "the ceiling of answers")
        expect_between(self.grant_size, 1, self.answers_per_client, "the size of a grant")

    def _check_form(self, schema: Schema) -> None:
        target, name = schema.target, self.form.name
        classes = len(target.classes) if isinstance(target, LabelColumn) else 0
        expect(
            classes > 0 or self.form is Form.ROUNDED,
            f"a target has no answers in the form {name}",
            Form.ROUNDED.name,
            name,
        )
        least, most = (1, classes) if self.form is Form.TOP_K else (0, 0)
        expect_between(self.k, least, most, f"k of the form {name}")
        least, most = {
            Form.LABEL: (0, 0),
            Form.TOP_K: (0, MAX_BITS),
            Form.ROUNDED: (1, MAX_BITS),
        }[self.form]
        expect_between(self.bits, least, most, f"the bits of the form {name}")
