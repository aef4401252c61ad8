"""docs/trusted-computing-base.md names what is trusted: no more, no less."""

from __future__ import annotations

from deploy.gramine.contents import DISTRIBUTIONS, own_files
from deploy.gramine.page import PAGE, listed

HINT = "run: python -m deploy.gramine.page"


def test_page_lists_our_files() -> None:
    assert listed("modules") == sorted(own_files()), HINT


def test_page_lists_distributions_and_why() -> None:
    assert listed("distributions") == list(DISTRIBUTIONS), HINT
    assert all(why in PAGE.read_text("utf-8") for why in DISTRIBUTIONS.values()), HINT
