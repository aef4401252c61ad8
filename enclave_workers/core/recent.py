"""The newest of something that is a function of bytes, by the digest of those bytes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Recent(Generic[T]):
    """Holds one value. Whoever asks names the digest that it must be of."""

    def __init__(self) -> None:
        self._held: tuple[bytes, T] | None = None

    def holds(self, digest: bytes) -> bool:
        """Tell whether the value of this digest is held."""
        return self._held is not None and self._held[0] == digest

    def get(self, digest: bytes, make: Callable[[], T]) -> T:
        """Return the value of this digest; it is made if it is not the one that is held."""
        held = self._held
        if held is None or held[0] != digest:
            self._held = None
            held = digest, make()
        self._held = held
        return held[1]

    def put(self, digest: bytes, value: T) -> None:
        """Hold a value that was made elsewhere."""
        self._held = digest, value
