"""The built wheel, in a clean environment outside the checkout."""

from __future__ import annotations

import json
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

PROBE = """
import importlib.util, json, sys
import chiron_stream, chiron_stream.wire, chiron_stream.wire.canonical
loaded = [name for name in ("torch", "faust", "kafka") if name in sys.modules]
from chiron_stream.broker.catalogue import load_catalogue
from chiron_stream.broker.local.distribution import _recorded
print(json.dumps({
    "loaded": loaded,
    "where": chiron_stream.__file__,
    "topics": sorted(load_catalogue().topics),
    "topics_module": importlib.util.find_spec("topics") is not None,
    "torch": importlib.util.find_spec("torch") is not None,
    "faust": importlib.util.find_spec("faust") is not None,
    "jars": len(_recorded()),
}))
"""


def run(*words: str | Path, cwd: Path) -> str:
    done = subprocess.run(
        [str(word) for word in words], cwd=cwd, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.timeout(400)
def test_wheel_works_outside_the_checkout(tmp_path: Path) -> None:
    pip = (sys.executable, "-m", "pip")
    quiet = ("--quiet", "--disable-pip-version-check")
    run(*pip, "wheel", *quiet, "--no-deps", "--no-build-isolation", "-w", tmp_path, ROOT, cwd=ROOT)
    [wheel] = tmp_path.glob("chiron_stream-*.whl")
    venv.create(tmp_path / "clean", with_pip=True)
    python = tmp_path / "clean" / "bin" / "python"
    base = ROOT / "requirements" / "base.txt"
    install = (python, "-m", "pip", "install", *quiet, "--no-deps")
    run(*install, "--require-hashes", "-r", base, cwd=tmp_path)
    run(*install, wheel, cwd=tmp_path)
    found = json.loads(run(python, "-I", "-c", PROBE, cwd=tmp_path))
    assert found.pop("where").startswith(str(tmp_path))
    assert found == {
        "loaded": [],
        "topics": sorted(path.stem for path in (ROOT / "topics").glob("*.toml")),
        "topics_module": False,
        "torch": False,
        "faust": False,
        "jars": 46,
    }
    assert "usage: chiron" in run(tmp_path / "clean" / "bin" / "chiron", "--help", cwd=tmp_path)
