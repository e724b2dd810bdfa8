"""The Wasserstein-2 distance of two layers' feature statistics, taken as Gaussians.

W₂² = |μ − μ'|² + tr C + tr C' − 2 tr (S C S)^½ with S = C'^½ (Olkin & Pukelsheim 1982; the Bures
metric). It is of the second degree in the features, where the squared difference of Gram matrices
is of the fourth.
The gradient is taken in closed form: ∂ tr(S C S)^½ / ∂C = ½ S (S C S)^−½ S.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from nst_core.moments import Moments

#: Share of a target's variance that may be left out with its faintest directions.
TAIL = 1e-3
#: Variance, as a share of a channel's energy, that a picture is taken to have in every direction.
#: Where it has fewer positions than channels most directions hold nothing but bfloat16's rounding;
#: stretched to the style's variance it would drown the gradient of all others.
_NOISE = 1e-4
#: Directions in which the picture varies less than this share of the most count as flat.
_FLAT = 1e-10
_NEWTON_SCHULZ_STEPS = 24


@dataclass(frozen=True)
class Target:
    """The statistics to be reached: mean (N,), and a factor L (N, r) with covariance L Lᵀ.

    r is as small as the target's spectrum allows; S of the formula may be any such factor, since
    tr (Lᵀ C L)^½ is the same for all of them.
    """

    mean: Tensor
    factor: Tensor

    @classmethod
    def of(cls, moments: Moments) -> "Target":
        """Return the target whose statistics are `moments`."""
        values, vectors = torch.linalg.eigh(moments.covariance.double().cpu())
        values = values.clamp_min(0)
        kept = values.cumsum(0) > TAIL * values.sum()
        kept[-1] = True  # a style of one colour varies in no direction
        factor = vectors[:, kept] * values[kept].sqrt()
        return cls(moments.mean, factor.to(moments.second.device))


def squared_distance(moments: Moments, target: Target) -> Tensor:
    """Return W₂² of the statistics, a scalar."""
    shift = (moments.mean - target.mean).square().sum()
    variance = target.factor.square().sum().to(shift.dtype)
    noise = _NOISE * (variance + target.mean.square().sum()) / len(target.mean)
    blurred = moments.covariance + torch.diag(noise.expand(len(target.mean)))
    root = root_trace(blurred, target.factor).to(shift.dtype)
    return shift + moments.covariance.trace() + variance - 2 * root


def root_trace(covariance: Tensor, factor: Tensor) -> Tensor:
    """Return tr (Lᵀ C L)^½ for a covariance C (N, N) and a factor L (N, r), a scalar."""
    root: Tensor = _RootTrace.apply(covariance, factor)
    return root


class _RootTrace(torch.autograd.Function):
    """The trace of a square root, with its gradient in closed form."""

    @staticmethod
    def forward(ctx: Any, covariance: Tensor, factor: Tensor) -> Tensor:  # noqa: ANN401 - torch's own type
        """Return the trace, and keep ½ L (Lᵀ C L)^−½ Lᵀ."""
        inner = factor.T @ (covariance.to(factor.dtype) @ factor)
        # A flat picture has no spread to be stretched: without a floor rounding would be.
        floor = _FLAT * factor.square().sum(dim=0).max().square()
        inner.diagonal().add_(floor.clamp_min(1e-30))
        trace, inverse_root = _roots(inner)
        outer, half = factor.to(covariance.dtype), inverse_root.to(covariance.dtype) / 2
        ctx.save_for_backward(outer @ half @ outer.T)
        return trace

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:  # noqa: ANN401 - torch's own type
        """Return the gradient of the covariance."""
        (slope,) = ctx.saved_tensors
        return gradients[0].to(slope.dtype) * slope, None


def _roots(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Return the trace of A^½, and A^−½, of a positive semidefinite A (r, r)."""
    if matrix.device.type == "cpu":
        return roots_by_eigenvalues(matrix)
    return roots_by_newton_schulz(matrix.float())


def roots_by_eigenvalues(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Return the trace of A^½, and A^−½ without A's flat directions, from its eigenvalues."""
    if not matrix.isfinite().all():  # LAPACK would refuse it; the engine knows what to do
        return matrix.new_tensor(torch.nan), torch.full_like(matrix, torch.nan)
    values, vectors = torch.linalg.eigh(matrix)
    values = values.clamp_min(_FLAT * values[-1].clamp_min(torch.finfo(values.dtype).tiny))
    roots = values.sqrt()
    return roots.sum(), (vectors / roots) @ vectors.T


def roots_by_newton_schulz(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Return the trace of A^½, and A^−½, by matrix products alone.

    The coupled Newton–Schulz iteration (Higham 2008, eq. 6.35), which needs no decomposition and
    no word from the device to the host; a small multiple of the identity keeps it from breaking up
    at A's flat directions.
    """
    identity = torch.eye(matrix.shape[0], dtype=matrix.dtype, device=matrix.device)
    norm = torch.linalg.matrix_norm(matrix).clamp_min(torch.finfo(matrix.dtype).tiny)
    unit = matrix / norm
    y, z = unit + 1e-6 * identity, identity
    for _ in range(_NEWTON_SCHULZ_STEPS):
        correction = 1.5 * identity - 0.5 * (z @ y)
        y, z = y @ correction, correction @ z
    # Not the trace of y, to which every flat direction would add the root of what keeps it steady.
    return (unit * z).sum() * norm.sqrt(), z / norm.sqrt()
