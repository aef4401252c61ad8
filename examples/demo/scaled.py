"""Pictures of bytes: their owners seal bytes, a quarter of what floats take."""

from __future__ import annotations

import torch
from torch import nn


class Scaled(nn.Module):
    """A network for bytes: they are divided by 255 first."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return logits ``[rows, classes]`` of ``[rows, channels, side, side]``, 0 to 255."""
        found: torch.Tensor = self.layers(image / 255)
        return found
