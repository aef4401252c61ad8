"""What a model provider does with a recipe, at home: export, explain, rehearse, and the reference.

>>> from functools import partial
>>> import torch
>>> from torch import nn
>>> from chiron_stream.recipe import Recipe
>>> recipe = Recipe.export(
...     nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 2)),
...     loss=nn.CrossEntropyLoss(),
...     inputs={"input": ["age", "bp"]},
...     target="sick",
...     optimizer=partial(torch.optim.SGD, lr=0.1),
... )
>>> len(recipe.weights)
168

``torch.export`` is the front end: it turns the module into a graph, which
:mod:`~chiron_stream.recipe.translation` writes in the closed format. What comes out is checked as
a worker checks it (:func:`chiron_stream.graph.checker.check`), so that refusals happen here.
"""

from __future__ import annotations

from chiron_stream.graph.schedules import Constant, Cosine, Step, Warmup
from chiron_stream.recipe.explaining import Explanation
from chiron_stream.recipe.exporting import Recipe
from chiron_stream.recipe.learning import Channel
from chiron_stream.recipe.reference import Round, Slot, parameters_sha256, reference_loop
from chiron_stream.recipe.rehearsal import Rehearsal

__all__ = [
    "Channel",
    "Constant",
    "Cosine",
    "Explanation",
    "Recipe",
    "Rehearsal",
    "Round",
    "Slot",
    "Step",
    "Warmup",
    "parameters_sha256",
    "reference_loop",
]
