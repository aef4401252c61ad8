"""Disclosure: in which form answers leave, how many of them, and who learns what of training."""

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

MAX_PROGRESS_BITS: Final = 8
"""Bits of a round's loss, at most."""

LARGEST_GRADIENT: Final = 31
"""The highest bucket of a gradient's norm."""

VOID_MOST: Final = 255
"""VOID shards that a report tells of, at most; checkpoints have the whole count, in clear."""

FIXED_BITS: Final = LARGEST_GRADIENT.bit_length() + VOID_MOST.bit_length()
"""Bits of a report besides its loss."""


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

    Owners get a score on the rows that they announced for evaluation after every
    ``score_every``-th release and the last one, as long as it keeps to ``score_ceiling`` bits for
    each; 0: none do. The provider gets a report of each round whose loss has ``progress_bits``
    bits, as long as all of them keep to ``progress_ceiling`` bits; 0: it gets none.
    """

    KIND: ClassVar[int] = 154
    form: Form
    k: int
    bits: int
    minimum_owners: int
    minimum_rows: int
    answers_per_client: int
    grant_size: int
    score_every: int = 0
    score_ceiling: int = 0
    progress_bits: int = 0
    progress_ceiling: int = 0

    @property
    def report_bits(self) -> int:
        """Bits of one report to the provider; 0 where it gets none."""
        return self.progress_bits + FIXED_BITS if self.progress_bits else 0

    def check(self, schema: Schema, owners: int) -> None:
        """Raise :class:`JobRefused` unless form, schema and number of owners fit each other."""
        self._check_form(schema)
        expect_between(self.minimum_owners, 1, owners, "the minimum of owners of a release")
        expect_between(self.minimum_rows, 1, 2**63, "the minimum of rows of a release")
        expect_between(self.answers_per_client, 1, MAX_ANSWERS, "the ceiling of answers")
        expect_between(self.grant_size, 1, self.answers_per_client, "the size of a grant")
        expect_between(self.score_every, 0, MAX_ANSWERS, "the releases between two scores")
        expect_between(self.progress_bits, 0, MAX_PROGRESS_BITS, "the bits of a round's loss")
        least, most = (1, MAX_ANSWERS) if self.score_every else (0, 0)
        expect_between(
            self.score_ceiling, least, most, "the ceiling of an owner's scores, in bits,"
        )
        least, most = (self.report_bits, MAX_ANSWERS) if self.progress_bits else (0, 0)
        expect_between(self.progress_ceiling, least, most, "the ceiling of progress, in bits,")

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
