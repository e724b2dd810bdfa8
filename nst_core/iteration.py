"""`Iteration`: the moving state of one stylisation.

Picture, optimiser, average and place in the plan. Knows how to start, to take a step, to grow to
the next scale, and to be saved and restored.
"""

import math
from collections.abc import Sequence
from statistics import fmean
from typing import Self

import torch
from PIL import Image, ImageOps
from torch import Tensor
from torch.nn import functional

from nst_core import pixels as px
from nst_core.checkpoint import Checkpoint, on_cpu
from nst_core.errors import Diverged
from nst_core.objective import Objective, Terms
from nst_core.optimizers import RunningAverage, make_optimizer, take_step
from nst_core.params import StyleParams
from nst_core.schedule import Scale

TOLERANCE_STEPS = 10
AVERAGE_DECAY = 0.9


class Iteration:
    """Where a stylisation stands; changed by `advance` and `enter_scale` alone."""

    def __init__(self, pixels: Tensor, params: StyleParams, plan: Sequence[Scale]) -> None:
        self.params = params
        self.plan = plan
        self.scale_index = 0
        self.scale_step = 0
        self.step = 0
        self.scale_ended = False
        self.losses: dict[str, float] = {}
        self._totals: list[float] = []
        self._set_pixels(pixels)

    @classmethod
    def start(
        cls,
        content: Image.Image,
        styles: Sequence[Image.Image],
        params: StyleParams,
        *,
        plan: Sequence[Scale],
        device: torch.device,
    ) -> Self:
        """Return the state before the first step."""
        size = (plan[0].width, plan[0].height)
        return cls(first_pixels(content, styles, params, size=size).to(device), params, plan)

    @classmethod
    def restore(
        cls, saved: Checkpoint, params: StyleParams, *, plan: Sequence[Scale], device: torch.device
    ) -> Self:
        """Return the state that `checkpoint` saved."""
        state = cls(saved.pixels.to(device, copy=True), params, plan)
        state.scale_index = saved.scale_index
        state.scale_step = saved.scale_step
        state.scale_ended = saved.scale_ended
        state.step = saved.step
        state.losses = dict(saved.losses)
        state._totals = list(saved.totals)
        state._average.sum = saved.average_sum.to(device, copy=True)
        state._average.weight = saved.average_weight
        state._optimizer.load_state_dict(on_cpu(saved.optimizer))
        return state

    def checkpoint(self, fingerprint: str) -> Checkpoint:
        """Return a copy of the state that later steps do not touch."""
        return Checkpoint(
            fingerprint=fingerprint,
            scale_index=self.scale_index,
            scale_step=self.scale_step,
            scale_ended=self.scale_ended,
            step=self.step,
            totals=list(self._totals),
            losses=dict(self.losses),
            pixels=on_cpu(self._pixels),
            average_sum=on_cpu(self._average.sum),
            average_weight=self._average.weight,
            optimizer=on_cpu(self._optimizer.state_dict()),
        )

    @property
    def scale(self) -> Scale:
        """The scale that the state is at."""
        return self.plan[self.scale_index]

    @property
    def finished(self) -> bool:
        """Whether the last step of the last scale has been taken."""
        return self.scale_ended and self.scale_index == len(self.plan) - 1

    @property
    def total_steps(self) -> int:
        """Steps of the whole run, as far as can be known now."""
        left = 0 if self.scale_ended else self.scale.steps - self.scale_step
        return self.step + left + sum(scale.steps for scale in self.plan[self.scale_index + 1 :])

    def picture(self) -> Image.Image:
        """Return the present picture in RGB, at the present scale."""
        return px.deprocess(self._best())

    def enter_scale(self) -> None:
        """Grow to the next scale, if the present one has ended."""
        if not self.scale_ended:
            return
        self.scale_index += 1
        self.scale_step = 0
        self.scale_ended = False
        self._totals = []
        size = (self.scale.height, self.scale.width)
        grown = functional.interpolate(self._best(), size, mode="bicubic", antialias=True)
        px.clip(grown)
        self._set_pixels(grown)

    def advance(self, objective: Objective) -> None:
        """Take one step.

        Raises:
            Diverged: the loss is infinite or not a number.
        """
        terms: list[Terms] = []

        def evaluate() -> Tensor:
            terms.append(objective(self._pixels))
            return terms[0].total

        take_step(self._optimizer, evaluate)
        self._record(terms[0])
        if not self._pixels.isfinite().all():  # the loss was the one before the step
            raise _diverged(self.step, "the picture")
        if self.params.optimizer == "adam":
            px.clip(self._pixels.data)
            self._average.add(self._pixels)

    def _record(self, terms: Terms) -> None:
        self.losses = {
            "total": terms.total.item(),
            "content": terms.content.item(),
            "style": terms.style.item(),
            "tv": terms.tv.item(),
        }
        if not math.isfinite(self.losses["total"]):
            raise _diverged(self.step + 1, "the loss")
        self.step += 1
        self.scale_step += 1
        self._totals = [*self._totals, self.losses["total"]][-2 * TOLERANCE_STEPS :]
        self.scale_ended = self.scale_step >= self.scale.steps or self._has_settled()

    def _has_settled(self) -> bool:
        return self.params.tolerance > 0 and has_settled(self._totals, self.params.tolerance)

    def _best(self) -> Tensor:
        return self._average.mean if self._average.weight else self._pixels.detach()

    def _set_pixels(self, pixels: Tensor) -> None:
        rate = self.params.learning_rate
        assert rate is not None  # noqa: S101 - StyleParams fills it in
        # Adjacent in memory, since L-BFGS flattens the gradient, which takes the same layout.
        pixels = pixels.contiguous()
        self._pixels = pixels.requires_grad_()
        self._average = RunningAverage(AVERAGE_DECAY, pixels)
        self._optimizer = make_optimizer(self.params.optimizer, pixels, learning_rate=rate)


def _diverged(step: int, what: str) -> Diverged:
    return Diverged(
        f"{what} left the finite numbers at step {step}",
        hint="Lower learning_rate or the weights.",
    )


def has_settled(totals: Sequence[float], tolerance: float) -> bool:
    """Return whether the loss fell by less than the share `tolerance`, from ten steps to ten.

    Means, since a single step may spike; and a loss that rises has not settled: with a start from
    the photo Adam's first steps overshoot.
    """
    if len(totals) < 2 * TOLERANCE_STEPS:
        return False
    before = fmean(totals[:TOLERANCE_STEPS])
    after = fmean(totals[-TOLERANCE_STEPS:])
    return 0 <= before - after < tolerance * before


def first_pixels(
    content: Image.Image,
    styles: Sequence[Image.Image],
    params: StyleParams,
    *,
    size: tuple[int, int],
) -> Tensor:
    """Return what the optimisation starts from: normalised pixels (1, 3, H, W) for `size`."""
    if params.init == "content":
        return px.preprocess(content, size)
    if params.init == "style":
        shares = params.blend_for(len(styles))
        covers = [px.preprocess(ImageOps.fit(style, size)) for style in styles]
        mixed = [share * cover for share, cover in zip(shares, covers, strict=True)]
        return torch.stack(mixed).sum(dim=0)
    width, height = size
    noise = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(params.seed))
    return px.normalise(noise)
