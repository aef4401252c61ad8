"""What docs/job-file.md and the package say of themselves."""

from __future__ import annotations

import doctest
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from chiron_stream.errors import JobRefused
from chiron_stream.job import policy, roster, rows, schema, terms
from chiron_stream.job.file import Job, dumps
from chiron_stream.wire.crypto import XWING_PUBLIC
from tests.unit.job.builders import JOHN, LAB, MARY, POLICY, file_of

PAGE = (Path(__file__).parents[3] / "docs" / "job-file.md").read_text()


@pytest.mark.parametrize("name", ["schema", "policy", "file", "describe", "roster", "simulation"])
def test_import_does_not_load_numpy(name: str) -> None:
    code = f"import sys, chiron_stream.job.{name}; print('numpy' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "False"


@pytest.mark.parametrize("module", [schema, rows], ids=lambda module: module.__name__)
def test_examples_of_a_module_run(module: ModuleType) -> None:
    failed, tried = doctest.testmod(module)
    assert tried >= 3
    assert failed == 0


def test_steps_of_the_page_lead_to_a_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (steps,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    names: dict[str, Any] = {"policy": POLICY}
    # The page's new identity is not in this policy: its signature does not make a job.
    with pytest.raises(JobRefused) as caught:
        exec(steps, names)  # noqa: S102  (our own page)
    assert caught.value.code == "JOB_SIGNATURES"
    assert names["me"].load("st-mary.identity") == names["me"]
    assert names["parse_public_line"](names["line"]).identity == names["me"].public
    file = names["JobFile"](names["policy_bytes"], (), "kafka.example:9093")
    for one in (MARY, JOHN, LAB):
        file = file.signed(*names["sign_policy"](file.policy, one.signing_key))
    assert isinstance(names["loads"](dumps(file)), Job)
    assert file.policy == file_of().policy


def test_page_gives_the_limits_that_are_checked() -> None:
    assert f"{policy.MAX_POLICY_BYTES:,}" in PAGE
    assert f"{policy.MIN_RECORD_BYTES} to {policy.MAX_RECORD_BYTES:,} bytes" in PAGE
    assert f"1 to {policy.MAX_RECORDS} records" in PAGE
    assert f"1 to {roster.MAX_MEMBERS}" in PAGE
    assert f"2 to {schema.MAX_VALUES:,} classes" in PAGE
    assert f"1 to {schema.MAX_COLUMNS} columns" in PAGE
    assert schema.COLUMN_NAME.pattern in PAGE
    assert XWING_PUBLIC == 1216


def test_page_names_every_key_of_the_terms() -> None:
    section = PAGE[PAGE.index("## Terms") : PAGE.index("## Simulation")]
    tables = (terms._OPEN, terms._DISCLOSURE, terms._LIMITS)
    keys = {*terms._TOP, *terms._OPTIONAL, *(key for table in tables for key in table)}
    assert [
        key for key in sorted(keys) if f"`{key}`" not in section.replace("[", "`").replace("]", "`")
    ] == []
