"""The code of docs/data-owners.md runs, as it stands there."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from chiron_stream.clients import party
from chiron_stream.job.terms import read_terms
from enclave_workers.local import LocalJob
from tests.local import jobs

PAGE = (Path(__file__).parents[2] / "docs" / "data-owners.md").read_text()
PUBLISH, STREAM, SINK, SCORES = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
OPEN = {"kind": "open", "shards_per_slot": 1, "window": 1, "max_wait": 1, "passes": 1}
PATIENCE = "timeout=15"
"""Instead of the page's minute, behind the last score."""


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A job without a recipe yet, and the page's files where it is read."""
    table = {"owners": ["alice"], "provider": "bob", "clients": ["carol"], "auditor": "dan"}
    parts = {"schedule": OPEN, "disclosure": {"score_every": 1}, "columns": jobs.COLUMNS}
    with LocalJob(read_terms({"name": "page", **table, **parts})) as running:
        (tmp_path / "job.json").write_bytes(running.directory.job_file.read_bytes())
        (tmp_path / "st-mary.identity").touch(0o600)
        identity = running.directory.identity("alice").read_bytes()
        (tmp_path / "st-mary.identity").write_bytes(identity)
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(party, "KafkaBroker", lambda *_, **__: running.broker)
        yield running


def run(block: str, names: dict[str, Any]) -> dict[str, Any]:
    exec(compile(block, "data-owners.md", "exec"), names)  # noqa: S102  (our own page)
    return names


def test_rows_of_the_page_are_accepted_and_scored(
    job: LocalJob, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = jobs.points("alice")
    thirds = [{name: values[at : at + 67] for name, values in rows.items()} for at in (0, 67, 134)]
    names = {"frame": thirds[0], "batches": iter(thirds[1:2]), "held_out": thirds[2]}
    run(PUBLISH, names)
    run(STREAM.replace('"icu"', '"icu-stream"'), names)
    with ThreadPoolExecutor(1) as pool:
        scored = pool.submit(run, SCORES.replace("timeout=60", PATIENCE), names)
        job.wait(lambda told: told.accepted == 3)
        job.provider().publish(jobs.export())
        scored.result()
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert len(lines) > 1
    assert {line[1] for line in lines[:-1]} == {"66"}
    assert lines[-1] == ["0"]  # this policy tells the provider nothing


def test_application_of_the_page_has_a_sink(job: LocalJob) -> None:
    """``tests/jobs/test_faust_sink.py`` runs such an application, and kills it."""
    names = run(SINK, {"row_of": dict, "__name__": "page"})
    names["owner"].close()
    assert names["rows"]._sinks == [names["sink"]]
