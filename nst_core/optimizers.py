"""The two optimisers, each as one countable step at a time.

Both are torch's own. Neither draws random numbers, and `state_dict` holds all of their memory, so a
checkpointed run goes on bit for bit.
"""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from nst_core.pixels import STD

#: Past gradients that L-BFGS keeps; SciPy's default. Each costs two pictures of memory.
LBFGS_HISTORY = 10


def make_optimizer(
    kind: Literal["adam", "lbfgs"], pixels: Tensor, *, learning_rate: float
) -> torch.optim.Optimizer:
    """Return an optimiser of normalised `pixels` whose every `step` is one evaluation.

    `learning_rate` is in units of the picture's 0–1 range for adam; for lbfgs it is the share of
    the quasi-Newton step.
    """
    if kind == "adam":
        # Short memory for the squared gradients: a scale has some dozens of steps, not thousands.
        return torch.optim.Adam(
            [pixels], lr=learning_rate / (sum(STD) / len(STD)), betas=(0.9, 0.99)
        )
    # Tolerances of 0: the engine alone decides when to end. With max_iter=1, `step` keeps its
    # history from call to call (60 calls of one iteration equal one call of 60, exactly).
    return torch.optim.LBFGS(
        [pixels],
        lr=learning_rate,
        max_iter=1,
        max_eval=1,
        history_size=LBFGS_HISTORY,
        tolerance_grad=0,
        tolerance_change=0,
    )


def take_step(optimizer: torch.optim.Optimizer, evaluate: Callable[[], Tensor]) -> None:
    """Take one step down the gradient of the loss that `evaluate` returns."""

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = evaluate()
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        return loss

    optimizer.step(closure)  # type: ignore[arg-type]  # torch says float; it takes the tensor


class RunningAverage:
    """The exponentially weighted mean of the iterates: what people are shown.

    Adam's iterates jitter around the minimum by about a step length; their mean does not.
    """

    def __init__(self, decay: float, pixels: Tensor) -> None:
        self.decay = decay
        self.sum = torch.zeros_like(pixels)
        self.weight = 0.0

    def add(self, pixels: Tensor) -> None:
        """Take in the next iterate."""
        self.sum.mul_(self.decay).add_(pixels.detach(), alpha=1 - self.decay)
        self.weight = self.weight * self.decay + (1 - self.decay)

    @property
    def mean(self) -> Tensor:
        """The mean so far, free of the bias towards the zeros that the sum began with."""
        return self.sum / self.weight
