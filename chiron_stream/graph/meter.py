"""Counts what a run on the meta device would allocate, and stops it at a limit.

The run has no data, but torch dispatches every kernel of it: the parts that an operation is made
of, the copies that broadcasting makes, the kernels of the backward pass. Each result that is no
view of an argument counts in full, at once. A convolution counts besides what a kernel by matrix
product unfolds of one image: every window of it, side by side.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from math import prod
from typing import Any, Final

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from chiron_stream.errors import RecipeRefused
from chiron_stream.graph.format import MAX_ELEMENTS

_FLOAT_BYTES: Final = 4


class Meter(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch has no types here
    """While it is entered, counts the bytes of new tensors.

    :param most: bytes, at most.
    :param place: whose run it is, for messages.
    """

    def __init__(self, most: int, place: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.most = most
        self.place = place
        self.bytes = 0

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Run the kernel and count its results."""
        result = func(*args, **(kwargs or {}))
        returns = func._schema.returns  # type: ignore[attr-defined]
        if func is torch.ops.aten.convolution.default:
            self.bytes += _unfolded(args[1], result)
        for tensor in _tensors(result):
            self._check(tensor.numel() <= MAX_ELEMENTS, f"{MAX_ELEMENTS} elements in one value")
            if all(one.alias_info is None for one in returns):
                self.bytes += tensor.numel() * tensor.element_size()
        self._check(self.bytes <= self.most, f"{self.most} bytes")
        return result

    def _check(self, good: bool, most: str) -> None:  # noqa: FBT001  (a condition)
        if not good:
            message = f"{self.place} needs too much memory"
            raise RecipeRefused(message, code="GRAPH_MEMORY", expected=f"at most {most}")


def _unfolded(weight: torch.Tensor, result: torch.Tensor) -> int:
    """Return the bytes of one image's windows: ``[channels, *kernel]`` for each place."""
    return prod(weight.shape[1:]) * prod(result.shape[2:]) * _FLOAT_BYTES


def _tensors(result: Any) -> Iterator[torch.Tensor]:
    if isinstance(result, torch.Tensor):
        yield result
    elif isinstance(result, tuple | list):
        for one in result:
            yield from _tensors(one)
