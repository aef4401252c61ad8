"""The provider's own code, run to get at its recipe: a Python file, or a module.

It is run as it stands, with all that the caller may do: so it must be the caller's own.
"""

from __future__ import annotations

import runpy
import sys
from importlib import import_module
from pathlib import Path
from traceback import extract_tb
from typing import TYPE_CHECKING, Any, Final

from chiron_stream.errors import ChironError, UsageRefused

if TYPE_CHECKING:
    from chiron_stream.graph.columns import ColumnKinds
    from chiron_stream.recipe import Recipe
    from chiron_stream.recipe.replaying import Spec

TARGET: Final = "FILE.py or MODULE, with :NAME where it is not called spec or recipe"
_NAMES: Final = ("spec", "recipe")


def provided(target: str) -> Spec | Recipe:
    """Return the recipe that a target names.

    :param target: ``recipe.py``, ``recipe.py:small`` or ``package.module:small``.
    :raises UsageRefused: it does not load, with the line to blame, or has nothing of the name.
    """
    from chiron_stream.recipe import Recipe
    from chiron_stream.recipe.replaying import Spec

    place, _, name = target.partition(":")
    names = (name,) if name else _NAMES
    table = _run(place)
    found = next((table[one] for one in names if one in table), None)
    if not isinstance(found, Spec | Recipe):
        wanted = " or ".join(names)
        got = "none" if found is None else type(found).__name__
        expected = f"a Spec or a Recipe called {wanted}"
        raise UsageRefused(f"{place} has no recipe", expected=expected, got=got)
    return found


def exported(target: str, kinds: ColumnKinds) -> Recipe:
    """Return the recipe that a target names, exported for the columns of a job.

    :raises UsageRefused: as :func:`provided`.
    :raises RecipeRefused: it cannot be written as a closed graph; names module and line.
    """
    from chiron_stream.recipe.replaying import Spec

    found = provided(target)
    return found.export(kinds) if isinstance(found, Spec) else found


def _run(place: str) -> dict[str, Any]:
    """Return the names that the provider's code defines."""
    is_file = place.endswith(".py")
    if is_file and not Path(place).is_file():
        raise UsageRefused(f"there is no file {place}")
    sys.path.insert(0, str(Path(place).resolve().parent if is_file else Path.cwd()))
    try:
        return runpy.run_path(place) if is_file else vars(import_module(place))
    except ChironError:
        raise
    except Exception as error:  # whatever the provider's code raises is the provider's
        raise UsageRefused(
            f"{place} does not load: {type(error).__name__} at {_line(error, place)}",
            expected=TARGET,
            hint="the same command with --traceback says more",
        ) from error


def _line(error: Exception, place: str) -> str:
    """Return the innermost line that is in no installed package."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}"
    lines = [
        f"{frame.filename}:{frame.lineno}"
        for frame in extract_tb(error.__traceback__)
        if "site-packages" not in frame.filename and not frame.filename.startswith(("<", _OURS))
    ]
    return lines[-1] if lines else place


_OURS: Final = str(Path(__file__).parents[1])
