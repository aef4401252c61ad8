"""``python -m benchmarks.merge_courier ROLE ...``: the real courier, whose core is the bench's."""

from __future__ import annotations

import sys

from enclave_workers.courier.__main__ import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], (sys.executable, "-m", "benchmarks.merge_core")))
