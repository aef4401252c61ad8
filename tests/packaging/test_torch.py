"""The torch of the requirement files: enough of it is there to train, and to repeat it bit by bit.

What the files leave out (docs/decisions/0004-torch.md) must not be missed. In a process of its
own: tests of this package run without torch in their process.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

TRAIN = """
import hashlib, torch
torch.set_num_threads(1)
assert torch.set_flush_denormal(True)

def train():
    torch.manual_seed(7)
    model = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3), torch.nn.BatchNorm2d(8), torch.nn.ReLU(),
        torch.nn.Flatten(), torch.nn.Linear(8 * 14 * 14, 10),
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    for _ in range(3):
        images, labels = torch.randn(16, 3, 16, 16), torch.randint(0, 10, (16,))
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(images), labels).backward()
        optimizer.step()
    digest = hashlib.sha256()
    for value in model.state_dict().values():
        digest.update(value.numpy().tobytes())
    return digest.hexdigest(), model.eval()

first, model = train()
assert first == train()[0]
batch = torch.export.Dim("batch", min=2, max=64)
exported = torch.export.export(model, (torch.randn(4, 3, 16, 16),), dynamic_shapes=({0: batch},))
assert any("conv2d" in str(node.target) for node in exported.graph.nodes)
print("trained", first)
"""


@pytest.mark.timeout(300)
def test_installed_torch_trains_exports_and_repeats_itself() -> None:
    done = subprocess.run(
        [sys.executable, "-c", TRAIN], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("trained ")
