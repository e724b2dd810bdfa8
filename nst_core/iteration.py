"""`Iteration`: the moving state of one stylisation.

Picture, optimiser, average and place in the plan. Knows how to start, to take a step, to grow to
the next scale, and to be saved and restored.
"""

from collections.abc import Callable, Sequence
from statistics import fmean
from typing import Self

import torch
from PIL import Image, ImageOps
from torch import Tensor
from torch.nn import functional

from nst_core import pixels as px
from nst_core.checkpoint import Checkpoint, on_cpu
from nst_core.errors import Diverged
from nst_core.estimate import WHOLE
from nst_core.objective import Terms
from nst_core.optimizers import BestIterate, hand_over, make_optimizer, make_shown
from nst_core.params import StyleParams
from nst_core.schedule import Scale
from nst_core.sources import Sources

TOLERANCE_STEPS = 10
#: Steps between two looks at the losses on a device that would have to be waited for.
READ_EVERY = 10
#: How often a run may leave the finite numbers before it is given up.
MAX_RECOVERIES = 8
#: An L-BFGS step has gone astray when it makes the loss this many times the least one.
_ASTRAY = 4.0


class Iteration:
    """Where a stylisation stands; changed by `advance` and `enter_scale` alone."""

    def __init__(self, pixels: Tensor, params: StyleParams, plan: Sequence[Scale]) -> None:
        self.params = params
        self.plan = plan
        self.scale_index = 0
        self.scale_step = 0
        self.step = 0
        self.scale_ended = False
        self.tile_edge = WHOLE
        self.losses: dict[str, float] = {}
        self._totals: list[float] = []
        self._unread: list[Tensor] = []
        assert params.learning_rate is not None  # noqa: S101 - StyleParams fills it in
        self._rate = params.learning_rate
        self._recoveries = 0
        self._begin(pixels)

    @classmethod
    def start(
        cls, sources: Sources, params: StyleParams, *, plan: Sequence[Scale], device: torch.device
    ) -> Self:
        """Return the state before the first step."""
        size = (plan[0].width, plan[0].height)
        return cls(first_pixels(sources, params, size=size).to(device), params, plan)

    @classmethod
    def restore(
        cls, saved: Checkpoint, params: StyleParams, *, plan: Sequence[Scale], device: torch.device
    ) -> Self:
        """Return the state that `checkpoint` saved."""
        state = cls(saved.pixels.to(device, copy=True), params, plan)
        state.tile_edge = saved.tile_edge
        state.scale_index = saved.scale_index
        state.scale_step = saved.scale_step
        state.scale_ended = saved.scale_ended
        state.step = saved.step
        state.losses = dict(saved.losses)
        state._totals = list(saved.totals)
        state._unread = [row.to(device) for row in saved.unread]
        state._recoveries = saved.recoveries
        state._rate = saved.rate
        state._shown.load_state_dict(saved.shown)
        state._optimizer.load_state_dict(on_cpu(saved.optimizer))
        return state

    def checkpoint(self, fingerprint: str) -> Checkpoint:
        """Return a copy of the state that later steps do not touch."""
        return Checkpoint(
            fingerprint=fingerprint,
            tile_edge=self.tile_edge,
            scale_index=self.scale_index,
            scale_step=self.scale_step,
            scale_ended=self.scale_ended,
            step=self.step,
            totals=list(self._totals),
            losses=dict(self.losses),
            unread=on_cpu(self._unread),
            rate=self._rate,
            recoveries=self._recoveries,
            pixels=on_cpu(self._pixels),
            shown=on_cpu(self._shown.state_dict()),
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

    @property
    def shown(self) -> Tensor:
        """The picture to be shown, as normalised pixels at the present scale."""
        return self._shown.pixels

    def enter_scale(self, photo: Image.Image) -> None:
        """Grow to the next scale, if the present one has ended.

        With a start from the photo the picture gains what the photo shows at the new size and did
        not at the old one: enlarging alone would leave it to the content loss to find it again.
        """
        if not self.scale_ended:
            return
        before, optimizer = self.scale, self._optimizer
        self.scale_index += 1
        self.scale_step = 0
        self.scale_ended = False
        self._totals = []
        size = (self.scale.height, self.scale.width)
        grown = _resized(self.shown, size)
        if self.params.init == "content":
            old, new = (
                px.preprocess(photo, (scale.width, scale.height)).to(grown.device)
                for scale in (before, self.scale)
            )
            grown += new - _resized(old, size)
        px.clip(grown)
        self._begin(grown)
        # A loss that is a share of an energy spreads over the pixels; eq. 1 does not.
        area = before.width * before.height / (self.scale.width * self.scale.height)
        ratio = area if self.params.loss == "wasserstein" else 1.0
        hand_over(optimizer, self._optimizer, gradient_ratio=ratio)

    def advance(self, evaluate: Callable[[Tensor], Terms]) -> None:
        """Take one step; `evaluate` returns the loss of pixels and leaves its gradient on them.

        Raises:
            Diverged: the loss is no finite number from the start, or again and again.
        """
        terms = evaluate(self._pixels)
        self._unread.append(_guarded(terms, self._pixels))
        if isinstance(self._shown, BestIterate):
            self._shown.judge(self._pixels, terms.total.item())
        self._optimizer.step(lambda: terms.total)  # type: ignore[arg-type,return-value]
        if self.params.optimizer == "adam":
            px.clip(self._pixels.data)
        self._shown.add(self._pixels)
        self.step += 1
        self.scale_step += 1
        last = self.scale_step >= self.scale.steps
        if last or not self.losses or self.scale_step % self._read_every == 0:
            self._read()
        self.scale_ended = last or self._has_settled()
        if self.scale_ended and isinstance(self._shown, BestIterate):
            self._shown.judge(self._pixels, evaluate(self._pixels).total.item())

    @property
    def _read_every(self) -> int:
        """L-BFGS waits for the device in any case."""
        waits = self._pixels.device.type != "cpu" and self.params.optimizer == "adam"
        return READ_EVERY if waits else 1

    def _read(self) -> None:
        """Fetch the losses of the steps since the last time, and go back if they went wrong."""
        broken = False
        for *terms, sound in torch.stack(self._unread).tolist():
            if not sound:
                broken = True
                continue
            self.losses = dict(zip(("total", "content", "style", "tv"), terms, strict=True))
            self._totals = [*self._totals, terms[0]][-2 * TOLERANCE_STEPS :]
        self._unread = []
        if broken:
            self._recoveries += 1
            if not self.losses or self._recoveries > MAX_RECOVERIES:
                raise Diverged(
                    f"the loss left the finite numbers at step {self.step}",
                    hint="Lower the weights, or use precision float32.",
                )
        if broken or self._has_gone_astray():
            self._go_back()

    def _has_gone_astray(self) -> bool:
        best = self._shown
        return isinstance(best, BestIterate) and self._totals[-1] > _ASTRAY * abs(best.lowest)

    def _go_back(self) -> None:
        """Begin anew from the picture that is shown, with half the rate."""
        self._rate /= 2
        self._totals = []
        self._begin(self.shown.clone())

    def _has_settled(self) -> bool:
        return self.params.tolerance > 0 and has_settled(self._totals, self.params.tolerance)

    def _begin(self, pixels: Tensor) -> None:
        # Adjacent in memory, since L-BFGS flattens the gradient, which takes the same layout.
        pixels = pixels.detach().contiguous()
        self._pixels = pixels.requires_grad_()
        self._shown = make_shown(self.params.optimizer, pixels)
        self._optimizer = make_optimizer(
            self.params.optimizer, self._pixels, learning_rate=self._rate
        )


def _resized(pixels: Tensor, size: tuple[int, int]) -> Tensor:
    """Return pixels (1, 3, H, W) at another height and width."""
    return functional.interpolate(pixels, size, mode="bicubic", antialias=True)


def _guarded(terms: Terms, pixels: Tensor) -> Tensor:
    """Return the terms and whether they are sound, (5,); take the gradient away if they are not.

    On the device, without waiting for it: the picture stays finite until the losses are read.
    """
    assert pixels.grad is not None  # noqa: S101 - `evaluate` leaves one
    largest = torch.linalg.vector_norm(pixels.grad, torch.inf)
    sound = terms.total.isfinite() & largest.isfinite()
    torch.where(sound, pixels.grad, torch.zeros_like(largest), out=pixels.grad)
    row = (terms.total, terms.content, terms.style, terms.tv, sound)
    return torch.stack([term.float() for term in row])


def has_settled(totals: Sequence[float], tolerance: float) -> bool:
    """Return whether the loss fell by less than the share `tolerance`, from ten steps to ten.

    Means, since a single step may spike; and a loss that rises has not settled: with a start from
    the photo Adam's first steps overshoot.
    """
    if len(totals) < 2 * TOLERANCE_STEPS:
        return False
    before = fmean(totals[:TOLERANCE_STEPS])
    after = fmean(totals[-TOLERANCE_STEPS:])
    return 0 <= before - after < tolerance * abs(before)


def first_pixels(sources: Sources, params: StyleParams, *, size: tuple[int, int]) -> Tensor:
    """Return what the optimisation starts from: normalised pixels (1, 3, H, W) for `size`."""
    if params.init == "content":
        return px.preprocess(sources.content.picture, size)
    if params.init == "style":
        shares = params.blend_for(len(sources.styles))
        covers = [px.preprocess(ImageOps.fit(style.picture, size)) for style in sources.styles]
        mixed = [share * cover for share, cover in zip(shares, covers, strict=True)]
        return torch.stack(mixed).sum(dim=0)
    width, height = size
    noise = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(params.seed))
    return px.normalise(noise)
