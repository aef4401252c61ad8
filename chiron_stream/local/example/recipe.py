"""The provider's recipe for the irises: run it with the job up.

`chiron verify --replay recipe.py` imports `spec` from here.
"""

from functools import partial
from pathlib import Path

import torch
from torch import nn

from chiron_stream import InsecureSimulation, ModelProvider
from chiron_stream.local.directory import JobDirectory
from chiron_stream.recipe.replaying import Spec

torch.manual_seed(0)
spec = Spec(
    nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3)),
    loss=nn.CrossEntropyLoss(),
    inputs={"input": ["sepal_length", "sepal_width", "petal_length", "petal_width"]},
    target="species",
    optimizer=partial(torch.optim.Adam, lr=0.02),
    batch_size=16,
)

if __name__ == "__main__":
    here = JobDirectory(Path(__file__).parent)
    job = here.job()
    with ModelProvider(job, here.identity("bob"), evidence=InsecureSimulation()) as provider:
        provider.publish(spec.export(job.policy.schema.kinds()))
    print("the recipe is imported")
