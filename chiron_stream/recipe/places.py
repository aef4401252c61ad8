"""Where in the provider's code a node of an exported graph comes from."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import torch
from torch import fx

_FRAME: Final = re.compile(r'File "([^"]+)", line (\d+), in (\S+)')
_TORCH: Final = str(Path(torch.__file__).parent)
_OURS: Final = str(Path(__file__).parent)
_WRAPPED: Final = re.compile(r"^(module|loss)\.?")


def place_of(node: fx.Node) -> str:
    """Return "module path (class), file:line" for people; what is unknown is left out."""
    parts = [part for part in (_module(node), _line(node)) if part]
    return ", ".join(parts) or f"operation {node.target}"


def _module(node: fx.Node) -> str:
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    if not stack or not stack[-1][0]:
        return ""
    path, kind = stack[-1]
    name = kind if isinstance(kind, str) else kind.__qualname__
    inside = _WRAPPED.sub("", path)
    owner = "loss" if path.startswith("loss") else "module"
    return f"{owner}{'.' if inside else ''}{inside} ({name.rpartition('.')[2]})"


def _line(node: fx.Node) -> str:
    """Return the innermost line that is neither torch's nor ours."""
    frames = _FRAME.findall(node.meta.get("stack_trace") or "")
    theirs = [
        f"{path}:{line}"
        for path, line, _ in frames
        if not path.startswith((_TORCH, _OURS, "torch/", "<"))
    ]
    return theirs[-1] if theirs else ""
