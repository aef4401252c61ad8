"""What decides the bits: each case in a process of its own, since it sets up the whole process."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

SHOW = """
import json, torch
from chiron_stream.graph.numerics import configure_numerics, denormals_are_flushed
{before}
found = configure_numerics({threads})
print(json.dumps([found, torch.get_num_threads(), torch.are_deterministic_algorithms_enabled(),
                  denormals_are_flushed()]))
"""


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("threads", [1, 2])
def test_configure_numerics_sets_up_every_thread(threads: int) -> None:
    shown = run(SHOW.format(before="", threads=threads))
    found: list[Any] = json.loads(shown.stdout)
    assert set(found[0]) == {"torch", "isa", "threads"}
    assert found[0]["threads"] == threads
    assert found[1:] == [threads, True, True]


def test_configure_numerics_refuses_threads_that_were_started_before() -> None:
    """They keep their denormals: what one core computes would differ from another's."""
    before = "torch.set_num_threads(2); torch.ones(1 << 20) * 2"
    shown = run(SHOW.format(before=before, threads=2))
    assert shown.returncode == 1
    assert "BugFound: denormals are not flushed on every thread" in shown.stderr


def test_denormals_are_kept_without_it() -> None:
    """The control."""
    shown = run(
        "from chiron_stream.graph.numerics import denormals_are_flushed\n"
        "print(denormals_are_flushed())"
    )
    assert shown.stdout.strip() == "False"


def test_flush_denormals_holds_for_numpy_on_the_same_thread() -> None:
    code = """
import numpy as np
from chiron_stream.graph.numerics import flush_denormals
{set_up}
print(int(np.count_nonzero(np.full(1000, 1e-39).astype(np.float32).view(np.uint32))))
"""
    assert run(code.format(set_up="")).stdout.strip() == "1000"
    assert run(code.format(set_up="flush_denormals()")).stdout.strip() == "0"


def test_denormals_are_flushed_in_the_backward_pass() -> None:
    code = """
import torch
from chiron_stream.graph.numerics import configure_numerics
{set_up}
value = torch.full((100,), 1e-30, requires_grad=True)
(gradient,) = torch.autograd.grad((value * 1e-20 * 1e-20).sum(), [value])
print(int(gradient.count_nonzero()))
"""
    assert run(code.format(set_up="")).stdout.strip() == "100"
    assert run(code.format(set_up="configure_numerics(1)")).stdout.strip() == "0"
