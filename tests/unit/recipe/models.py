"""Models as providers write them."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812  (torch's custom)
from torch import nn


class Plain(nn.Module):
    """Numbers through two layers."""

    def __init__(self, width: int = 3, classes: int = 2) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(width, 16), nn.ReLU(), nn.Linear(16, classes))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.net(x)
        return found


class Rich(nn.Module):
    """Numbers and a category; batch norm, dropout, an in-place activation, a buffer."""

    scale: torch.Tensor

    def __init__(self, width: int = 3, classes: int = 2) -> None:
        super().__init__()
        self.site = nn.Embedding(5, 4)
        self.net = nn.Sequential(
            nn.Linear(width + 4, 16),
            nn.BatchNorm1d(16),
            nn.ReLU(inplace=True),
            nn.Dropout(0.2),
            nn.Linear(16, 16),
            nn.LayerNorm(16),
            nn.GELU(),
            nn.Linear(16, classes),
        )
        self.register_buffer("scale", torch.full((classes,), 1.5), persistent=False)

    def forward(self, x: torch.Tensor, site: torch.Tensor) -> torch.Tensor:
        joined = torch.cat([x, self.site(site)], dim=1)
        found: torch.Tensor = self.net(joined) * self.scale
        return found


class Regression(nn.Module):
    """One number for each row."""

    def __init__(self, width: int = 3) -> None:
        super().__init__()
        self.hidden = nn.Linear(width, 8)
        self.out = nn.Linear(8, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.out(torch.tanh(self.hidden(x)))
        return found.squeeze(-1)


class Functional(nn.Module):
    """Operations without modules: reductions, shapes, arithmetic with numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.linspace(-1, 1, 12).reshape(4, 3))
        self.last = nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows = x.shape[0]
        made = F.linear(x, self.weight).view(rows, 2, 2).transpose(1, 2).reshape(rows, 4)
        made = (1.0 - made) * 0.5 + made.mean(dim=1, keepdim=True) - made / 3.0
        made = F.leaky_relu(made).add_(made.abs()) ** 2
        found: torch.Tensor = self.last(made.unsqueeze(1).flatten(1).sigmoid())
        return found


class Tied(nn.Module):
    """One matrix, used twice under two names."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 3, bias=False)
        self.second = nn.Linear(3, 3, bias=False)
        self.second.weight = self.first.weight
        self.out = nn.Linear(3, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.out(self.second(torch.relu(self.first(x))))
        return found


class Frozen(Plain):
    """A first layer that is not trained, and a parameter that nothing uses."""

    def __init__(self) -> None:
        super().__init__()
        self.net[0].requires_grad_(requires_grad=False)
        self.spare = nn.Parameter(torch.ones(7))


class Sequence(nn.Module):
    """Convolutions along 12 numbers for each row: padding by name, pooling, groups, a gate."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(
            *(nn.Conv1d(1, 8, 3, padding="same"), nn.BatchNorm1d(8), nn.SiLU(), nn.MaxPool1d(2)),
            *(nn.Conv1d(8, 8, 3, padding=1, groups=2), nn.GroupNorm(2, 8), nn.SELU()),
            *(nn.Dropout1d(0.2), nn.AvgPool1d(2)),
        )
        self.last = nn.Linear(16, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        made = self.net(x.unsqueeze(1))
        gate, value = made.chunk(2, dim=1)
        most, _ = value.max(dim=2)
        parts = nn.functional.adaptive_max_pool1d(gate.sigmoid() * value, 1).flatten(1)
        norms = F.normalize(made, dim=1).amax(2)
        found: torch.Tensor = self.last(torch.cat([most, parts, norms], dim=1))
        return found


class Masked(nn.Module):
    """Words of which 0 means none: a mask in attention, a mean over what is there."""

    causal: torch.Tensor

    def __init__(self, size: int = 8, length: int = 6, words: int = 20) -> None:
        super().__init__()
        self.words = nn.Embedding(words, size, padding_idx=0)
        self.first = nn.Parameter(torch.zeros(1, 1, size))
        self.attention = nn.MultiheadAttention(size, 2, dropout=0.1, batch_first=True)
        self.wide = nn.Linear(size, 3 * size)
        self.norm = nn.RMSNorm(size)
        self.last = nn.Linear(size, 4)
        mask = torch.full((length + 1, length + 1), -1e9).triu(1)
        self.register_buffer("causal", mask, persistent=False)

    def forward(self, text: torch.Tensor) -> torch.Tensor:
        rows = text.shape[0]
        made = torch.cat([self.first.expand(rows, -1, -1), self.words(text)], dim=1)
        looked, weights = self.attention(made, made, made, attn_mask=self.causal)
        query, key, value = self.wide(self.norm(made + looked)).split(8, dim=-1)
        heads = [one.unflatten(2, (2, 4)).transpose(1, 2) for one in (query, key, value)]
        own = F.scaled_dot_product_attention(heads[0], heads[1], heads[2], is_causal=True)
        own = own.transpose(1, 2).flatten(2)
        there = (text != 0).float().unsqueeze(2)
        mean = (own[:, 1:] * there).sum(1) / there.sum(1).clamp(min=1.0)
        found: torch.Tensor = self.last(mean + own[:, 0] * weights.mean((1, 2)).unsqueeze(1))
        return found
