"""docs/command-line.md says what there is: every command, every kind of line."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from chiron_stream.cli.main import NOUNS
from tests.jobs.command import data_of
from tests.unit.cli.typed import typed

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "command-line.md").read_text()
SOURCES = sorted((ROOT / "chiron_stream" / "cli").glob("*.py"))
KINDS = {
    kind
    for path in SOURCES
    for kind in re.findall(r'(?:output\.data\(|_Line\()\s*"([a-z.-]+)"', path.read_text())
}


def test_page_names_every_command() -> None:
    table = PAGE.partition("## JSON lines")[0]
    for noun in NOUNS:
        assert re.search(rf"^\|[^|]*`[^|]*\b{noun}\b", table, re.MULTILINE), noun


def test_page_names_every_kind_of_line_and_no_other() -> None:
    rows = re.findall(r"^\| (`[a-z.`, -]+`) \| `", PAGE.partition("## JSON lines")[2], re.MULTILINE)
    told = {kind for row in rows for kind in re.findall(r"`([a-z.-]+)`", row)}
    assert len(KINDS) > 15
    assert told == KINDS


@pytest.mark.parametrize(
    ("words", "kind"),
    [(("config",), "setting"), (("doctor",), "check"), (("key", "new", "me"), "identity")],
)
def test_fields_are_those_of_the_page(tmp_path: Path, words: tuple[str, ...], kind: str) -> None:
    found = data_of(typed(*words, "--json", cwd=tmp_path))
    (row,) = re.findall(rf"^\| `{kind}` \| `[^|]*\| ([^|]*) \|$", PAGE, re.MULTILINE)
    told = set(re.findall(r"`([a-z_]+)`", row))
    assert found
    for name, fields in found:
        assert name == kind
        assert set(fields) <= told


def test_envelope_of_the_page_reads() -> None:
    (line,) = re.findall(r"```json\n(.*?)\n```", PAGE)
    assert sorted(json.loads(line)) == ["data", "kind", "v"]
