"""What tests of the wire share: a monitor of nonces, and guards switched off as controls."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from chiron_stream.wire import crypto
from tests.unit.wire.nonces import NonceMonitor

Unguard = Callable[..., None]


@pytest.fixture
def nonces(monkeypatch: pytest.MonkeyPatch) -> NonceMonitor:
    """Watch every AES-GCM and Cobblestone sealing of the wire."""
    monitor = NonceMonitor()
    monkeypatch.setattr(crypto, "AESGCM", monitor.gcm)
    monkeypatch.setattr(crypto, "Cobblestone256Encryptor", monitor.cobblestone)
    return monitor


@pytest.fixture
def without_signatures(monkeypatch: pytest.MonkeyPatch) -> Unguard:
    """Make a module believe every signature: the control of a test of signatures."""

    def unguard(module: ModuleType) -> None:
        monkeypatch.setattr(module, "verified", lambda *_: True)

    return unguard


@pytest.fixture
def without_associated_data(monkeypatch: pytest.MonkeyPatch) -> Unguard:
    """Make a module seal and open without associated data: the control of a test of headers."""

    def unguard(module: ModuleType) -> None:
        def seal(key: bytes, counter: int, plaintext: bytes, _associated: bytes) -> bytes:
            return crypto.gcm_seal(key, counter, plaintext, b"")

        def open_(key: bytes, counter: int, sealed: bytes, _associated: bytes) -> bytes:
            return crypto.gcm_open(key, counter, sealed, b"")

        monkeypatch.setattr(module, "gcm_seal", seal)
        monkeypatch.setattr(module, "gcm_open", open_)

    return unguard


@pytest.fixture
def without_context(monkeypatch: pytest.MonkeyPatch) -> Unguard:
    """Make a module seal and open objects without their context."""

    def unguard(module: ModuleType) -> None:
        def seal(key: bytes, _context: bytes, plaintext: bytes) -> bytes:
            return crypto.seal(key, b"", plaintext)

        def unseal(key: bytes, _context: bytes, sealed: bytes) -> Any:
            return crypto.unseal(key, b"", sealed)

        monkeypatch.setattr(module, "seal", seal)
        monkeypatch.setattr(module, "unseal", unseal)

    return unguard
