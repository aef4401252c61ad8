"""Sealing switched to identity: for benches and for the demo's control, and for nothing else.

``python -m benchmarks.identity ROLE …`` is a courier whose core seals no answers; its core is
``python -m benchmarks.identity core ROLE``. The path, the sizes and the framing stay.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Final

from chiron_stream.wire import serving, shards

TAG: Final = bytes(16)

_RECORDS: Final[dict[str, Callable[..., bytes]]] = {
    "gcm_seal": lambda _key, _counter, plaintext, _associated: bytes(plaintext) + TAG,
    "gcm_open": lambda _key, _counter, sealed, _associated: bytes(sealed[: -len(TAG)]),
}
_ANSWERS: Final[dict[str, Callable[..., bytes]]] = {
    "_answer_key": lambda _secret, _name, _nonce: bytes(32),
}


def switch_off() -> None:
    """Make sealing and opening of queries and answers identity, in this process."""
    for name, replacement in {**_RECORDS, **_ANSWERS}.items():
        setattr(serving, name, replacement)


def switch_off_shards() -> None:
    """Make sealing and opening of shard records identity, in this process."""
    for name, replacement in _RECORDS.items():
        setattr(shards, name, replacement)


def main(arguments: list[str]) -> int:
    """Run a courier, or its core."""
    if arguments[0] == "core":
        from enclave_workers.core.__main__ import main as core

        switch_off()
        return core(arguments[1:])
    from enclave_workers.courier.__main__ import main as courier

    return courier(arguments, (sys.executable, "-m", "benchmarks.identity", "core"))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
