"""The pyramid: which sizes a stylisation passes through and how many steps each gets.

Pure arithmetic on numbers; the engine follows it, progress and estimates are derived from it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from nst_core.params import MIN_EDGE, StyleParams

SMALLEST_LONG_EDGE = 64


@dataclass(frozen=True)
class Scale:
    """One size of the pyramid, in pixels, and the optimiser steps spent there."""

    width: int
    height: int
    steps: int


def fit(width: int, height: int, long_edge: int) -> tuple[int, int]:
    """Return the size with the same aspect ratio whose long edge is `long_edge` pixels.

    The short edge is rounded and never falls under `MIN_EDGE`, of which pool5 leaves one position.
    """
    factor = long_edge / max(width, height)
    return (
        max(MIN_EDGE, round(width * factor)),
        max(MIN_EDGE, round(height * factor)),
    )


def plan(width: int, height: int, params: StyleParams) -> tuple[Scale, ...]:
    """Return the scales, smallest first, for a content picture of `width` × `height` pixels.

    The first scale gets a double share of the steps: layout is settled there, where steps are
    cheapest.
    """
    assert params.scales is not None  # noqa: S101 - StyleParams fills it in
    edges = [
        edge
        for edge in (round(params.size / math.sqrt(2) ** i) for i in range(params.scales))
        if edge >= SMALLEST_LONG_EDGE
    ]
    sizes = [fit(width, height, edge) for edge in reversed(edges)]
    sizes = sizes[-params.steps :]  # fewer steps than scales: the finest ones remain
    shares = _share(params.steps, [2] + [1] * (len(sizes) - 1))
    return tuple(Scale(w, h, steps) for (w, h), steps in zip(sizes, shares, strict=True))


def pixel_steps(plan: Sequence[Scale], steps: int) -> int:
    """Return the work of the plan's first `steps` steps; a step's cost goes with its pixels."""
    work = 0
    for scale in plan:
        here = min(steps, scale.steps)
        work += here * scale.width * scale.height
        steps -= here
    return work


def _share(total: int, weights: list[int]) -> list[int]:
    """Split `total` in proportion to `weights`; the rounding goes to the last, none gets 0."""
    shares = [max(1, total * weight // sum(weights)) for weight in weights]
    while sum(shares) > total:
        shares[shares.index(max(shares))] -= 1
    shares[-1] += total - sum(shares)
    return shares
