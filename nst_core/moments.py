"""First and second moments of features: all that the style losses look at.

Sums over positions, so that those of a picture's tiles add up to the picture's.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear


@dataclass(frozen=True)
class Moments:
    """The mean (N,) and the second moment E[F Fᵀ] (N, N) of N feature maps over positions.

    The second moment is the Gram matrix of Gatys et al. 2016, eq. 3, divided by M = H·W, so that
    pictures of different sizes compare.
    """

    mean: Tensor
    second: Tensor

    @classmethod
    def of_sums(cls, first: Tensor, second: Tensor, positions: Tensor | float) -> "Moments":
        """Return the moments whose `moment_sums` over so many positions, by weight, are these."""
        return cls(first / positions, second / positions)

    @property
    def covariance(self) -> Tensor:
        """E[F Fᵀ] less the product of the means, (N, N)."""
        return self.second - torch.outer(self.mean, self.mean)

    @property
    def energy(self) -> Tensor:
        """The mean squared length of a position's features, a scalar."""
        return self.second.trace()


def moment_sums(features: Tensor, weight: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Return Σ w F (N,) and Σ w F Fᵀ (N, N) over the positions of features (1, N, H, W).

    In float32 whatever the features' format: rounded to bfloat16, a small difference of two large
    moments, which the covariance is, would be noise.
    """
    first, second = _MomentSums.apply(features, weight)
    return first, second


def blend(parts: list[tuple[float, Moments]]) -> Moments:
    """Return the moments of a mixture: shares, summing to 1, with the moments of each part.

    Raw moments mix, covariances would not: the mixture of a dark and a bright style spans both.
    """
    means = torch.stack([share * part.mean for share, part in parts])
    seconds = torch.stack([share * part.second for share, part in parts])
    return Moments(means.sum(dim=0), seconds.sum(dim=0))


class _MomentSums(torch.autograd.Function):
    """Keeps the features as they are for the gradient, not the float32 copy that is summed."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, weight: Tensor | None) -> tuple[Tensor, Tensor]:  # noqa: ANN401 - torch's own type
        """Return both sums."""
        rows = _rows(features)
        exact = rows if rows.dtype == torch.float64 else rows.float()
        ctx.save_for_backward(features, weight)
        if weight is None:
            with _exact_products(rows):
                return exact.sum(dim=0), exact.T @ exact
        weighted = exact * weight.reshape(-1, 1)
        return weighted.sum(dim=0), weighted.T @ exact

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:  # noqa: ANN401 - torch's own type
        """Return w·((G + Gᵀ) F + g) for the gradients g and G of the two sums."""
        first, second = gradients
        features, weight = ctx.saved_tensors
        kind = features.dtype
        rows = linear(_rows(features), (second + second.T).to(kind), first.to(kind))
        if weight is not None:
            rows = rows * weight.reshape(-1, 1).to(kind)
        _, channels, height, width = features.shape
        return rows.view(1, height, width, channels).permute(0, 3, 1, 2), None


def _rows(features: Tensor) -> Tensor:
    """Return (1, N, H, W) as (H·W, N), without a copy where channels lie last."""
    return features.permute(0, 2, 3, 1).reshape(-1, features.shape[1])


@contextmanager
def _exact_products(rows: Tensor) -> Iterator[None]:
    """Let a CPU multiply float32 numbers that came from bfloat16 as the bfloat16 that they are.

    The products are the same and are summed in float32 as before; only the multiplier is faster.
    """
    if rows.dtype != torch.bfloat16 or rows.device.type != "cpu":
        yield
        return
    setting = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]  # not in torch's stubs
    before = setting.fp32_precision
    setting.fp32_precision = "bf16"
    try:
        yield
    finally:
        setting.fp32_precision = before
