"""Where in the provider's code a node of an exported graph, or an error of the export, is from."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from traceback import walk_tb
from types import FrameType
from typing import Final

import torch
from torch import fx, nn

_FRAME: Final = re.compile(r'File "([^"]+)", line (\d+), in (\S+)')
_TORCH: Final = str(Path(torch.__file__).parent)
_OURS: Final = str(Path(__file__).parent)
_WRAPPED: Final = re.compile(r"^(module|loss)\.?")


def place_of(node: fx.Node) -> str:
    """Return "module path (class), file:line" for people; what is unknown is left out."""
    parts = [part for part in (_module(node), _line(node)) if part]
    return ", ".join(parts) or f"operation {node.target}"


def place_of_error(error: BaseException, root: nn.Module) -> str:
    """Return "module path (class), file:line" of the innermost line of the provider's; or "".

    :param root: of the modules that ran.
    """
    return _place(list(walk_tb(error.__traceback__)), root)


def place_of_frame(frame: FrameType | None, root: nn.Module) -> str:
    """Return the same for code that is running, called from ``frame``'s code."""
    frames = []
    while frame is not None:
        frames.append((frame, frame.f_lineno))
        frame = frame.f_back
    return _place(frames[::-1], root)


def _place(frames: list[tuple[FrameType, int]], root: nn.Module) -> str:
    names = {one: name for name, one in root.named_modules()}
    lines = [
        f"{frame.f_code.co_filename}:{line}"
        for frame, line in frames
        if _theirs(frame.f_code.co_filename)
    ]
    modules = [one for one in _owners(frames) if one in names and one is not root]
    described = [_described(names[one], type(one).__qualname__) for one in modules[-1:]]
    return ", ".join([*described, *lines[-1:]]) if described else ""


def _owners(frames: list[tuple[FrameType, int]]) -> Iterator[nn.Module]:
    for frame, _ in frames:
        first = frame.f_code.co_varnames[:1]
        owner = frame.f_locals.get(*first) if first else None
        if isinstance(owner, nn.Module) and frame.f_code.co_name == "forward":
            yield owner


def _theirs(path: str) -> bool:
    return not path.startswith((_TORCH, _OURS, "torch/", "<"))


def _module(node: fx.Node) -> str:
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    if not stack or not stack[-1][0]:
        return ""
    path, kind = stack[-1]
    return _described(path, kind if isinstance(kind, str) else kind.__qualname__)


def _described(path: str, kind: str) -> str:
    inside = _WRAPPED.sub("", path)
    owner = "loss" if path.startswith("loss") else "module"
    return f"{owner}{'.' if inside else ''}{inside} ({kind.rpartition('.')[2]})"


def _line(node: fx.Node) -> str:
    """Return the innermost line that is neither torch's nor ours."""
    frames = _FRAME.findall(node.meta.get("stack_trace") or "")
    theirs = [f"{path}:{line}" for path, line, _ in frames if _theirs(path)]
    return theirs[-1] if theirs else ""
