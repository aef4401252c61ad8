"""The provider's recipe for the irises: run it with the job up."""

from functools import partial
from pathlib import Path

import torch
from torch import nn

from chiron_stream import InsecureSimulation, ModelProvider, Recipe
from chiron_stream.local.directory import JobDirectory

here = JobDirectory(Path(__file__).parent)
job = here.job()
torch.manual_seed(0)
recipe = Recipe.export(
    nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3)),
    loss=nn.CrossEntropyLoss(),
    inputs={"input": ["sepal_length", "sepal_width", "petal_length", "petal_width"]},
    target="species",
    optimizer=partial(torch.optim.SGD, lr=0.1),
    batch_size=16,
    columns=job.policy.schema.kinds(),
)
with ModelProvider(job, here.identity("bob"), evidence=InsecureSimulation()) as provider:
    provider.publish(recipe)
print("the recipe is imported")
