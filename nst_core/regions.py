"""Where on the picture which style is wanted.

One region without masks, in which all styles are mixed; with masks one region a style (Gatys et al.
2017, "Controlling Perceptual Factors", section 4), whose statistics count its own positions only.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor

from nst_core.moments import blend
from nst_core.params import MIN_EDGE, StyleParams
from nst_core.pixels import read_mask
from nst_core.schedule import Scale, fit
from nst_core.sources import Source, Sources
from nst_core.targets import (
    Features,
    Lens,
    Size,
    Statistics,
    TargetCache,
    histogram_tops,
    style_histograms,
    style_statistics,
)

#: Styles with the share that each has in a mixture, and the size at which each is looked at.
Mixture = Sequence[tuple[float, Source, Size]]


@dataclass(frozen=True)
class Region:
    """A part of the picture and the statistics wanted there.

    `share` is its part of the style loss. `visible` (H, W) has each pixel's weight, None is all of
    them. `tops` and `histograms` are empty unless the histogram loss is on.
    """

    share: float
    visible: Tensor | None
    wanted: Statistics
    tops: Features
    histograms: Features


def make_regions(
    sources: Sources,
    params: StyleParams,
    *,
    lens: Lens,
    scale: Scale,
    cache: TargetCache | None,
) -> list[Region]:
    """Return the regions of a picture at a scale."""
    size = (scale.width, scale.height)
    shares = params.blend_for(len(sources.styles))
    style_sizes = [
        style_size(style.picture.size, scale, params.style_scale) for style in sources.styles
    ]
    alpha = None if sources.content.alpha is None else _plane(sources.content.alpha, size, lens)
    if not sources.masks:
        mixture = list(zip(shares, sources.styles, style_sizes, strict=True))
        return [_region(mixture, 1.0, alpha, params, lens=lens, cache=cache)]
    regions = []
    for share, style, at, mask in zip(
        shares, sources.styles, style_sizes, sources.masks, strict=True
    ):
        visible = _plane(mask, size, lens)
        visible = visible if alpha is None else visible * alpha
        # As strong a pixel as without masks, however small the region.
        weight = share * len(shares) * visible.mean().item()
        regions.append(_region([(1.0, style, at)], weight, visible, params, lens=lens, cache=cache))
    return regions


def style_size(style: Size, scale: Scale, factor: float) -> Size:
    """Return the size (width, height) at which a style is looked at, never stretched.

    Its long edge is `factor` times the result's, so that strokes keep their size; but a square
    style beside a narrow strip has at most twice the pixels that it has beside a square, which
    memory estimates rely on. No edge is shorter than the network can see.
    """
    longest = max(scale.width, scale.height)
    slimness = max(style) / min(style)
    roomy = math.sqrt(2 * scale.width * scale.height * slimness)
    edge = round(max(factor * min(longest, roomy), MIN_EDGE * slimness))
    return fit(*style, edge)


def _region(
    mixture: Mixture,
    share: float,
    visible: Tensor | None,
    params: StyleParams,
    *,
    lens: Lens,
    cache: TargetCache | None,
) -> Region:
    seen = [(part, style_statistics(lens, style, at, cache=cache)) for part, style, at in mixture]
    wanted = {
        layer: blend([(part, statistics[layer]) for part, statistics in seen])
        for layer in lens.layers
    }
    tops = histogram_tops(wanted) if params.histogram_weight else {}
    return Region(share, visible, wanted, tops, _mixed_histograms(mixture, tops, lens))


def _mixed_histograms(mixture: Mixture, tops: Features, lens: Lens) -> Features:
    if not tops:
        return {}
    drawn = [(part, style_histograms(lens, style, at, tops)) for part, style, at in mixture]
    return {
        layer: torch.stack([part * histograms[layer] for part, histograms in drawn]).sum(dim=0)
        for layer in tops
    }


def _plane(mask: Image.Image, size: Size, lens: Lens) -> Tensor:
    return read_mask(mask, size).to(lens.network.device)
