"""The code of docs/query-clients.md runs, from its first block to its last."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from chiron_stream.clients import party
from chiron_stream.recipe import Recipe
from enclave_workers.local import LocalJob
from tests.local import jobs

PAGE = (Path(__file__).parents[2] / "docs" / "query-clients.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
COLUMNS = [
    {"name": "age", "kind": "number", "low": 0, "high": 120},
    {"name": "bp", "kind": "number", "low": 0, "high": 300},
    {"name": "ill", "kind": "label", "classes": ["no", "yes"]},
]


def recipe() -> Recipe:
    return Recipe.export(
        nn.Sequential(nn.BatchNorm1d(2), nn.Linear(2, 2)),
        loss=nn.CrossEntropyLoss(),
        inputs={"input": ["age", "bp"]},
        target="ill",
        optimizer=lambda parameters: torch.optim.SGD(parameters, lr=0.1),
        batch_size=16,
    )


def rows() -> dict[str, Any]:
    dice = np.random.default_rng(0)
    age = dice.uniform(20, 90, 200).astype(np.float32)
    bp = dice.uniform(90, 180, 200).astype(np.float32)
    return {"age": age, "bp": bp, "ill": ["yes" if one > 55 else "no" for one in age]}


def test_code_of_the_page_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert len(BLOCKS) == 4
    first = BLOCKS[0].strip().splitlines()
    assert len(first) <= 15
    with LocalJob(jobs.terms(columns=COLUMNS)) as job:
        job.provider().publish(recipe())
        for name in jobs.OWNERS:
            job.owner(name).publish(rows(), dataset="points", rows_per_shard=50)
        jobs.finish(job)
        (tmp_path / "job.json").write_bytes(job.directory.job_file.read_bytes())
        (tmp_path / "me.identity").touch(0o600)
        (tmp_path / "me.identity").write_bytes(job.directory.identity("carol").read_bytes())
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(party, "KafkaBroker", lambda *_, **__: job.broker)
        names: dict[str, Any] = {"__name__": "page"}
        for block in BLOCKS:
            exec(compile(block, "query-clients.md", "exec"), names)  # noqa: S102  (our own page)
    assert names["values"] == names["same"]
    assert set(names["values"]) <= {"no", "yes"}
    assert names["later"] == []
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].endswith("local")
    assert shown[-1] == f"order-17 {names['answer'].value}"


def test_table_of_codes_is_that_of_the_errors() -> None:
    table = PAGE[PAGE.index("## What you may meet") :]
    errors = (Path(__file__).parents[2] / "docs" / "errors.md").read_text()
    codes = re.findall(r"`([A-Z_]{4,})`", table)
    assert len(codes) > 6
    assert [code for code in codes if f"`{code}`" not in errors] == []
