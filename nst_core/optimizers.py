"""The two optimisers, and which of their iterates people are shown.

Both are torch's own. Neither draws random numbers, and `state_dict` holds all of their memory, so a
checkpointed run goes on bit for bit.
"""

from typing import Any, Literal, Protocol

import torch
from torch import Tensor
from torch.nn import functional

from nst_core.pixels import STD

Kind = Literal["adam", "lbfgs"]

#: Past gradients that L-BFGS keeps; SciPy's default. Each costs two pictures of memory.
LBFGS_HISTORY = 10
AVERAGE_DECAY = 0.9


def make_optimizer(kind: Kind, pixels: Tensor, *, learning_rate: float) -> torch.optim.Optimizer:
    """Return an optimiser of normalised `pixels` whose every `step` is one evaluation.

    `learning_rate` is in units of the picture's 0–1 range for adam; for lbfgs it is the share of
    the quasi-Newton step.
    """
    if kind == "adam":
        # Short memory for the squared gradients: a scale has some dozens of steps, not thousands.
        return torch.optim.Adam(
            [pixels], lr=learning_rate / (sum(STD) / len(STD)), betas=(0.9, 0.99), fused=True
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


def hand_over(
    old: torch.optim.Optimizer, new: torch.optim.Optimizer, *, gradient_ratio: float
) -> None:
    """Give Adam's moments of a smaller picture to the optimiser of a larger one.

    So the first steps at a scale are as well aimed as the last ones before, instead of each pixel
    going a full step along the sign of its gradient. `gradient_ratio` is how much smaller a pixel's
    gradient has become. L-BFGS has to begin anew: its pairs belong to a space of another dimension.
    """
    (before,), (pixels,) = old.param_groups[0]["params"], new.param_groups[0]["params"]
    if "exp_avg" not in old.state[before]:
        return
    size = tuple(pixels.shape[-2:])
    state = old.state[before]
    mean = functional.interpolate(state["exp_avg"], size, mode="bicubic")
    square = functional.interpolate(state["exp_avg_sq"], size, mode="bilinear")  # never below 0
    new.state[pixels] = {
        "step": state["step"].clone(),
        "exp_avg": mean * gradient_ratio,
        "exp_avg_sq": square * gradient_ratio**2,
    }


class Shown(Protocol):
    """The picture that people are shown, made out of the iterates."""

    def add(self, pixels: Tensor) -> None:
        """Take in an iterate after its step."""

    def judge(self, pixels: Tensor, total: float) -> None:
        """Hear the loss of an iterate."""

    @property
    def pixels(self) -> Tensor:
        """The picture, normalised."""

    def state_dict(self) -> dict[str, Any]:
        """Return all that the next pictures depend on."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` returned."""


class RunningAverage:
    """The exponentially weighted mean of the iterates.

    Adam's iterates jitter around the minimum by about a step length; their mean does not.
    """

    def __init__(self, pixels: Tensor) -> None:
        self._sum = torch.zeros_like(pixels, requires_grad=False)
        self._weight = 0.0
        self.add(pixels)

    def add(self, pixels: Tensor) -> None:
        """Take in the next iterate."""
        self._sum.mul_(AVERAGE_DECAY).add_(pixels.detach(), alpha=1 - AVERAGE_DECAY)
        self._weight = self._weight * AVERAGE_DECAY + (1 - AVERAGE_DECAY)

    def judge(self, pixels: Tensor, total: float) -> None:
        """Pay no heed: all iterates count."""

    @property
    def pixels(self) -> Tensor:
        """The mean so far, free of the bias towards the zeros that the sum began with."""
        return self._sum / self._weight

    def state_dict(self) -> dict[str, Any]:
        """Return all that the next means depend on."""
        return {"sum": self._sum, "weight": self._weight}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` returned."""
        self._sum.copy_(state["sum"])
        self._weight = state["weight"]


class BestIterate:
    """The iterate with the least loss: L-BFGS without a line search goes astray now and then."""

    def __init__(self, pixels: Tensor) -> None:
        self._best = pixels.detach().clone()
        self.lowest = float("inf")

    def add(self, pixels: Tensor) -> None:
        """Wait for its loss."""

    def judge(self, pixels: Tensor, total: float) -> None:
        """Keep the iterate if none had a lower loss."""
        if total < self.lowest:
            self._best.copy_(pixels.detach())
            self.lowest = total

    @property
    def pixels(self) -> Tensor:
        """The best iterate."""
        return self._best

    def state_dict(self) -> dict[str, Any]:
        """Return the best iterate and its loss."""
        return {"best": self._best, "lowest": self.lowest}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` returned."""
        self._best.copy_(state["best"])
        self.lowest = state["lowest"]


def make_shown(kind: Kind, pixels: Tensor) -> Shown:
    """Return what people are shown of an optimiser that begins at `pixels`."""
    return RunningAverage(pixels) if kind == "adam" else BestIterate(pixels)
