"""What ``chiron`` loads and how long that takes: a command loads its own module and no other."""

from __future__ import annotations

import json
import resource
import subprocess
import sys

import pytest

from chiron_stream.cli.main import NOUNS

HELP_SECONDS = 0.3
HEAVY = ("torch", "numpy", "kafka", "faust", "cryptography", "dcap_qvl", "msgpack")


def loaded(*words: str) -> set[str]:
    """Return the modules that a command has loaded at its end."""
    code = (
        "import json, sys\n"
        "from chiron_stream.cli.main import main\n"
        f"try: main({list(words)!r})\n"
        "except SystemExit: pass\n"
        "print(json.dumps(sorted(sys.modules)), file=sys.stderr)"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(json.loads(shown.stderr.splitlines()[-1]))


def seconds(*words: str) -> float:
    """Return how long Python computes: processor time, for other processes may be at work."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *words], stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_help_takes_less_than_three_tenths_of_a_second() -> None:
    assert min(seconds("-m", "chiron_stream.cli", "--help") for _ in range(5)) < HELP_SECONDS


def test_measurement_notices_what_takes_longer() -> None:
    """The control."""
    assert (
        seconds("-c", f"import time\nwhile time.process_time() < {HELP_SECONDS}: 0") > HELP_SECONDS
    )


def test_help_loads_no_command_and_no_library() -> None:
    found = loaded("--help")
    assert not found & set(HEAVY)
    nouns = {name for name in found if name.startswith("chiron_stream.cli.")}
    assert nouns == {"chiron_stream.cli.main", "chiron_stream.cli.output"}


@pytest.mark.parametrize("noun", [noun for noun in NOUNS if noun != "worker"])
def test_help_of_a_command_loads_neither_torch_nor_faust(noun: str) -> None:
    assert not loaded(noun, "--help") & {"torch", "faust"}
