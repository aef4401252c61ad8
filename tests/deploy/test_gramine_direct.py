"""The trainer's core under Gramine, without SGX: rendered, started, a job trained with it."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from deploy.gramine.contents import gpu_build
from deploy.gramine.render import main
from tests.deploy import images


@pytest.mark.skipif(
    shutil.which("gramine-direct") is None,
    reason="gramine-direct is not on the PATH: docs/deploying.md says how to install it",
)
def test_trainer_trains_under_gramine_direct() -> None:
    with images.scratch() as path:
        out = path / "rendered"
        assert main(["--out", str(out), "--link", *(["--gpu"] if gpu_build() else [])]) == 0
        files = ["trainer.manifest.template", "trainer.manifest"]
        subprocess.run(["gramine-manifest", *files], cwd=out, check=True)
        command = {"trainer": ["gramine-direct", "trainer"]}
        search = {"PATH": os.environ["PATH"]}
        assert images.train_and_predict(command, search, out) == "right"
