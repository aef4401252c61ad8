"""``python -m deploy.gramine.page``: rewrites the lists in docs/trusted-computing-base.md.

Between two markers stands what the installed packages and our tree say; the rest is written by
hand. What a file is for is the first sentence of its docstring.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Final

from deploy.gramine.contents import DISTRIBUTIONS, image_files, is_library, own_files

PAGE: Final = Path(__file__).parents[2] / "docs" / "trusted-computing-base.md"
MARKERS: Final = ("<!-- {}: written by python -m deploy.gramine.page -->", "<!-- end of {} -->")


def main() -> int:
    """Write the lists anew; return the exit code."""
    text = PAGE.read_text("utf-8")
    for name, lines in (("modules", _modules()), ("distributions", _distributions())):
        first, last = (marker.format(name) for marker in MARKERS)
        before, _, rest = text.partition(first)
        text = "\n".join([f"{before}{first}", *lines, last + rest.partition(last)[2]])
    PAGE.write_text(text, "utf-8")
    return 0


def listed(name: str) -> list[str]:
    """Return the first cells of a list as the page has it."""
    first, last = (marker.format(name) for marker in MARKERS)
    block = PAGE.read_text("utf-8").partition(first)[2].partition(last)[0]
    return [line.split("`")[1] for line in block.splitlines() if line.startswith("| `")]


def _modules() -> Iterator[str]:
    files = own_files()
    lengths = {name: len(path.read_text("utf-8").splitlines()) for name, path in files.items()}
    sources = [name for name in files if name.endswith(".py")]
    yield ""
    yield f"{len(sources)} modules, {sum(lengths[name] for name in sources)} lines."
    yield ""
    yield from ("| file | lines | what it is for |", "| --- | --- | --- |")
    for name in sorted(files):
        yield f"| `{name}` | {lengths[name]} | {_purpose(files[name])} |"
    yield ""


def _purpose(path: Path) -> str:
    if path.suffix != ".py":
        return "The packages of others that a core is installed with, by hash."
    said = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
    return " ".join(said.split("\n\n")[0].split()).replace("|", "\\|")


def _distributions() -> Iterator[str]:
    files = image_files()
    yield ""
    yield from ("| distribution | version | files | MB | why |", "| --- | --- | --- | --- | --- |")
    for name, why in DISTRIBUTIONS.items():
        count, size = _size(name, files)
        yield f"| `{name}` | {metadata.version(name)} | {count} | {size / 1e6:.1f} | {why} |"
    rest = [path for inside, path in files.items() if "/site-packages/" not in inside]
    total = sum(path.stat().st_size for path in rest) / 1e6
    extensions = sum(is_library(path.name) for path in rest)
    yield ""
    yield f"Python: {len(rest)} files, {extensions} of them extension modules, {total:.1f} MB."
    yield ""


def _size(distribution: str, files: Mapping[str, Path]) -> tuple[int, int]:
    own = {Path(str(file.locate())).resolve() for file in metadata.files(distribution) or ()}
    there = [path for path in files.values() if path in own]
    return len(there), sum(path.stat().st_size for path in there)


if __name__ == "__main__":
    sys.exit(main())
