"""``chiron worker``: one enclave worker, courier and core, in the foreground."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence


def run(arguments: Sequence[str]) -> int:
    """Become the courier of a role; it starts its core."""
    command = [sys.executable, "-m", "enclave_workers.courier", *arguments]
    os.execv(sys.executable, command)  # noqa: S606  (our own interpreter and module)
