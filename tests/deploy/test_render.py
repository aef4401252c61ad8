"""Rendering writes an image and a manifest a role; hashes are those of the files."""

from __future__ import annotations

import hashlib
import tomllib
from pathlib import Path
from typing import Any

import pytest

from chiron_stream.attestation.evidence import ROLES
from deploy.gramine import render


@pytest.fixture
def two_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """Rendering sees two small files instead of gigabytes."""
    files = {}
    for name in ("chiron/bin/python3", "chiron/lib/python3.11/abc.py"):
        files[name] = tmp_path / name.replace("/", "_")
        files[name].write_text(name)
    monkeypatch.setattr(render, "image_files", lambda **_: files)
    monkeypatch.setattr(render, "with_libraries", lambda found, **_: found)
    monkeypatch.setattr(render, "gpu_build", lambda: False)
    return files


def trusted(path: Path) -> list[Any]:
    decoded = tomllib.loads(path.read_text())
    return [one for one in decoded["sgx"]["trusted_files"] if isinstance(one, dict)]


def test_render_writes_image_and_manifests(
    two_files: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert render.main(["--out", str(out)]) == 0
    assert capsys.readouterr().err == ""
    for name, path in two_files.items():
        assert (out / "image" / name).read_bytes() == path.read_bytes()
    for role in ROLES:
        entries = trusted(out / f"{role}.manifest.template")
        assert [one["uri"] for one in entries] == [f"file:image/{name}" for name in two_files]
        for one, path in zip(entries, two_files.values(), strict=True):
            assert one["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()


def test_render_twice_gives_the_same_bytes(two_files: dict[str, Path], tmp_path: Path) -> None:
    for out in ("one", "two"):
        assert render.main(["--out", str(tmp_path / out)]) == 0
    name = "trainer.manifest.template"
    assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_render_takes_sizes(two_files: dict[str, Path], tmp_path: Path) -> None:
    flags = ["--enclave-size", "16G", "--max-threads", "64"]
    assert render.main(["--out", str(tmp_path / "out"), *flags]) == 0
    sgx = tomllib.loads((tmp_path / "out/trainer.manifest.template").read_text())["sgx"]
    assert (sgx["enclave_size"], sgx["max_threads"]) == ("16G", 64)


@pytest.mark.usefixtures("two_files")
def test_render_refuses_a_directory_in_use(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert render.main(["--out", str(tmp_path)]) == 2
    assert "is not empty" in capsys.readouterr().err


def test_render_refuses_a_gpu_build_unless_asked(
    two_files: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(render, "gpu_build", lambda: True)
    assert render.main(["--out", str(tmp_path / "out")]) == 2
    assert "GPU build" in capsys.readouterr().err
    assert render.main(["--out", str(tmp_path / "out"), "--gpu"]) == 0


def test_render_warns_of_what_breaks_a_rule(
    two_files: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    two_files["chiron/lib/python3.11/site-packages/kafka/x.py"] = two_files["chiron/bin/python3"]
    assert render.main(["--out", str(tmp_path / "out")]) == 1
    assert "kafka/x.py: no part of a core" in capsys.readouterr().err
