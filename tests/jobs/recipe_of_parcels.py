"""A provider's file for the jobs of this folder: `chiron recipe` runs it as it stands."""

from functools import partial

import torch
from torch import nn

from chiron_stream.recipe.replaying import Spec
from tests.jobs.jobs import BATCH, NUMBERS, model

spec = Spec(
    model(),
    loss=nn.CrossEntropyLoss(),
    inputs={"input": list(NUMBERS)},
    target="size",
    optimizer=partial(torch.optim.SGD, lr=0.1, momentum=0.9),
    batch_size=BATCH,
)

recipe = spec.export({**dict.fromkeys(NUMBERS, ("number", ())), "size": ("label", ())})
wide = spec.export({**dict.fromkeys(NUMBERS, ("number", ())), "size": ("label", ())})
number = 7
