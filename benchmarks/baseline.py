"""The published coarse-to-fine schedule (Crowson), in plain autograd.

The settings are those of https://github.com/crowsonkb/style-transfer-pytorch, written anew from its
description of the method: only the first convolution repeats the edge, the others see zeros; max
pooling; content as the mean squared error of relu4_2, weight 0.015; style as the squared
Wasserstein-2 distance of relu1_1 … relu5_1, means over channels, weights 256, 64, 16, 4, 1 over
their sum; total variation on a nine-point stencil, weight 2, on pixels in 0–1; Adam with step 0.02
and betas 0.9 and 0.99, whose moments are carried to the next scale; pixels clipped to 0–1 after
each step; the result is the mean of the iterates with a decay of 0.99, which also begins the next
scale. Scales are √2 apart. Its own counts of steps are 1000 and 500 a scale; here they are given.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from benchmarks.network import Convolutions, arranged, features
from benchmarks.pictures import to_picture, to_unit
from nst_core.pixels import normalise

SOURCE = "https://github.com/crowsonkb/style-transfer-pytorch"
CONTENT_LAYER = "relu4_2"
CONTENT_WEIGHT = 0.015
STYLE_WEIGHTS = {"relu1_1": 256, "relu2_1": 64, "relu3_1": 16, "relu4_1": 4, "relu5_1": 1}
TV_WEIGHT = 2.0
STEP_SIZE = 0.02
BETAS = (0.9, 0.99)
AVERAGE_DECAY = 0.99
COVARIANCE_RIDGE = 1e-4
ROOT_ITERATIONS = 12


@dataclass(frozen=True)
class BaselineScale:
    """One size of the pyramid, long edge in pixels, and the steps spent there."""

    edge: int
    steps: int


@dataclass(frozen=True)
class BaselineProgress:
    """The run after a step; `step` counts from 1 over all scales."""

    step: int
    average: "_Average"

    def picture(self) -> Image.Image:
        """Return the present picture in RGB, at the present scale; before the next step."""
        return to_picture(self.average.mean)


def stylize(
    content: Image.Image,
    style: Image.Image,
    convs: Convolutions,
    *,
    scales: Sequence[BaselineScale],
) -> Iterator[BaselineProgress]:
    """Redraw `content` in the manner of `style`, yielding after every step."""
    convs = arranged(convs, dtype=torch.float32, memory_format=torch.contiguous_format)
    device = next(iter(convs.values()))[0].device
    pixels = to_unit(content, scales[0].edge).to(device)
    step = 0
    optimizer: torch.optim.Adam | None = None
    for scale in scales:
        objective = _Objective(content, style, convs, edge=scale.edge)
        pixels = _resized(pixels, objective.size, "bicubic").clamp(0, 1).requires_grad_()
        optimizer = _adam(pixels, optimizer)
        average = _Average(pixels)
        for _ in range(scale.steps):
            _take_step(optimizer, objective, pixels)
            average.add(pixels)
            step += 1
            yield BaselineProgress(step, average)
        pixels = average.mean


def _take_step(optimizer: torch.optim.Adam, objective: "_Objective", pixels: Tensor) -> None:
    optimizer.zero_grad()
    torch.autograd.backward(objective(pixels))
    optimizer.step()
    with torch.no_grad():
        pixels.clamp_(0, 1)


class _Objective:
    """The loss of a picture at one scale."""

    def __init__(
        self, content: Image.Image, style: Image.Image, convs: Convolutions, *, edge: int
    ) -> None:
        self._convs = convs
        device = next(iter(convs.values()))[0].device
        with torch.no_grad():
            photo = to_unit(content, edge).to(device)
            self.size = tuple(photo.shape[2:])
            self._content = self._features(photo, (CONTENT_LAYER,))[CONTENT_LAYER]
            painting = to_unit(style, min(edge, max(style.size))).to(device)  # never enlarged
            found = self._features(painting, tuple(STYLE_WEIGHTS))
            self._styles = {name: _StyleTarget(found[name]) for name in STYLE_WEIGHTS}

    def __call__(self, pixels: Tensor) -> Tensor:
        found = self._features(pixels, (CONTENT_LAYER, *STYLE_WEIGHTS))
        content = functional.mse_loss(found[CONTENT_LAYER], self._content)
        styles = [
            weight / sum(STYLE_WEIGHTS.values()) * self._styles[name](found[name])
            for name, weight in STYLE_WEIGHTS.items()
        ]
        variation = total_variation(pixels)
        return CONTENT_WEIGHT * content + torch.stack(styles).sum() + TV_WEIGHT * variation

    def _features(self, unit: Tensor, layers: tuple[str, ...]) -> dict[str, Tensor]:
        return features(normalise(unit), self._convs, layers, repeat_edge=True)


class _StyleTarget:
    """The squared Wasserstein-2 distance to a style's features, each taken for a normal one."""

    def __init__(self, style: Tensor) -> None:
        self._mean, self._covariance = _moments(style)
        self._root = square_root(self._covariance)

    def __call__(self, found: Tensor) -> Tensor:
        mean, covariance = _moments(found)
        cross = square_root(self._root @ covariance @ self._root)
        spread = (self._covariance + covariance - 2 * cross).diagonal().mean()
        return functional.mse_loss(mean, self._mean) + spread


def _moments(found: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean (C,) and the covariance (C, C), with a ridge, of features (1, C, H, W)."""
    maps = found.flatten(2).squeeze(0)
    mean = maps.mean(dim=1)
    covariance = maps @ maps.T / maps.shape[1] - torch.outer(mean, mean)
    return mean, covariance + COVARIANCE_RIDGE * torch.eye(len(mean), device=found.device)


def square_root(matrix: Tensor) -> Tensor:
    """Return the square root of a symmetric positive definite matrix (C, C)."""
    root: Tensor = _SquareRoot.apply(matrix)
    return root


class _SquareRoot(torch.autograd.Function):
    """Newton and Schulz' iteration; its gradient by an iteration as well (Lin & Maji 2017).

    Matrix products alone, since eigenvalues are slow on CUDA and their gradient is unstable.
    """

    @staticmethod
    def forward(ctx: Any, matrix: Tensor) -> Tensor:  # noqa: ANN401 - torch's own type
        """Return the root: Y → the root and Z → its inverse, of the matrix scaled to norm 1."""
        norm = matrix.norm()
        identity = torch.eye(len(matrix), dtype=matrix.dtype, device=matrix.device)
        y, z = matrix / norm, identity
        for _ in range(ROOT_ITERATIONS):
            half = (3 * identity - z @ y) / 2
            y, z = y @ half, half @ z
        root: Tensor = y * norm.sqrt()
        ctx.save_for_backward(root)
        return root

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:  # noqa: ANN401 - torch's own type
        """Return X of the Lyapunov equation S X + X S = gradient, S being the root."""
        (root,) = ctx.saved_tensors
        norm = root.norm()
        identity = torch.eye(len(root), dtype=root.dtype, device=root.device)
        sign, x = root / norm, gradients[0] / norm
        for left in reversed(range(ROOT_ITERATIONS)):
            rest = 3 * identity - sign @ sign
            x = (x @ rest - sign @ (sign @ x - x @ sign)) / 2
            if left:
                sign = sign @ rest / 2
        return torch.div(x, 2)


def total_variation(unit: Tensor) -> Tensor:
    """Return the mean squared difference of neighbours in all eight directions."""
    x = functional.pad(unit, (1, 1, 1, 1), mode="replicate")
    inner = x[..., 1:-1, 1:-1]
    straight = (x[..., 1:-1, 2:] - inner, x[..., 2:, 1:-1] - inner)
    diagonal = (x[..., 1:, 1:] - x[..., :-1, :-1], x[..., 1:, :-1] - x[..., :-1, 1:])
    near = torch.stack([difference.square().mean() for difference in straight]).sum()
    far = torch.stack([difference.square().mean() for difference in diagonal]).sum()
    return 2 * (near / 3 + far / 12)


class _Average:
    """The exponentially weighted mean of the iterates, free of the bias towards its start."""

    def __init__(self, first: Tensor) -> None:
        self._sum = torch.zeros_like(first, requires_grad=False)
        self._weight = 0.0
        self.add(first)

    def add(self, pixels: Tensor) -> None:
        """Take in the next iterate."""
        self._sum = torch.lerp(pixels.detach(), self._sum, AVERAGE_DECAY)
        self._weight = 1 - (1 - self._weight) * AVERAGE_DECAY

    @property
    def mean(self) -> Tensor:
        """The mean so far."""
        return self._sum / self._weight


def _adam(pixels: Tensor, before: torch.optim.Adam | None) -> torch.optim.Adam:
    """Return the optimiser of a scale, with the moments of the scale before it."""
    optimizer = torch.optim.Adam([pixels], lr=STEP_SIZE, betas=BETAS)
    if before is None:
        return optimizer
    (moments,) = before.state.values()
    size = tuple(pixels.shape[2:])
    optimizer.state[pixels] = {
        "step": moments["step"],
        "exp_avg": _resized(moments["exp_avg"], size, "bicubic"),
        "exp_avg_sq": _resized(moments["exp_avg_sq"], size, "bilinear").relu(),
    }
    return optimizer


def _resized(pixels: Tensor, size: tuple[int, ...], mode: str) -> Tensor:
    return functional.interpolate(pixels.detach(), size, mode=mode)


def published_scales(size: int, steps: Sequence[int]) -> tuple[BaselineScale, ...]:
    """Return scales √2 apart that end with `size`, with as many steps each."""
    edges = [round(size / 2 ** (place / 2)) for place in reversed(range(len(steps)))]
    if not all(small < large for small, large in pairwise(edges)):
        raise ValueError(f"{size} pixels are too few for {len(steps)} scales")
    return tuple(BaselineScale(edge, count) for edge, count in zip(edges, steps, strict=True))
