"""Reading systemd units and environment files as systemd does, as far as ours go."""

from __future__ import annotations

import re
import shlex
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

SYSTEMD = Path(__file__).parents[2] / "deploy" / "systemd"
UNIT = SYSTEMD / "chiron-worker@.service"
BRIDGE = SYSTEMD / "chiron-bridge@.service"
BRIDGES = sorted(one for one in SYSTEMD.glob("*.env") if "TOPIC=" in one.read_text())
ENVIRONMENTS = sorted(one for one in SYSTEMD.glob("*.env") if "ROLE=" in one.read_text())

Section = dict[str, list[str]]


def read_unit(text: str) -> dict[str, Section]:
    """Return the settings of each section, in order."""
    found: dict[str, Section] = {}
    section: Section = {}
    for line in text.splitlines():
        if line.startswith("[") and line.endswith("]"):
            section = found.setdefault(line[1:-1], defaultdict(list))
        elif line and not line.startswith(("#", ";")):
            name, equals, value = line.partition("=")
            assert equals, line
            section[name].append(value)
    return found


def read_environment(*paths: Path) -> dict[str, str]:
    """Return the variables of environment files; later ones win."""
    found = {}
    for path in paths:
        for line in path.read_text().splitlines():
            if line and not line.startswith("#"):
                name, equals, value = line.partition("=")
                assert equals, line
                quoted = len(value) > 1 and value[0] == value[-1] == '"'
                found[name] = value[1:-1] if quoted else value
    return found


def command(unit: Mapping[str, Section], variables: Mapping[str, str]) -> list[str]:
    """Return the words of ``ExecStart``: ``${X}`` is part of a word, ``$X`` is words of its own."""
    (line,) = unit["Service"]["ExecStart"]
    words: list[str] = []
    for word in line.split():
        if re.fullmatch(r"\$[A-Z_]+", word):
            words += shlex.split(variables.get(word[1:], ""))
        else:
            words.append(re.sub(r"\$\{([A-Z_]+)\}", lambda found: variables[found[1]], word))
    return words
