"""Smooth pictures, masks and losses of them: what tests of the objective begin with."""

import pytest
import torch
from PIL import Image, ImageDraw

from nst_core.estimate import WHOLE
from nst_core.objective import Objective
from nst_core.params import StyleParams
from nst_core.pixels import preprocess
from nst_core.schedule import Scale
from nst_core.sources import Sources

LAYERS = {"relu1_1": 0.4, "relu2_1": 0.4, "relu4_1": 0.2}


def small(**changes):
    """Layers no deeper than needs be: pictures of this size have few positions below relu4_1."""
    defaults = {"size": 96, "precision": "float32", "style_layers": LAYERS}
    return StyleParams(**defaults | {"content_layers": {"relu3_2": 1.0}} | changes)


def mosaic(width, height, *, seed, mode="RGB"):
    """Smooth shapes in many colours, so that no layer falls silent."""
    generator = torch.Generator().manual_seed(seed)
    levels = torch.randint(0, 256, (9, 11, 3), dtype=torch.uint8, generator=generator).numpy()
    return Image.fromarray(levels).resize((width, height), Image.Resampling.BICUBIC).convert(mode)


def halves(width, height):
    """A mask whose left is white, with an edge of grey, and its negative."""
    mask = Image.new("L", (width, height), 0)
    ImageDraw.Draw(mask).rectangle((0, 0, width // 3, height), fill=255)
    mask = mask.resize((width // 4, height // 4)).resize((width, height))
    return mask, mask.point(lambda level: 255 - level)


def evaluated(pixels, params, network, *, edge=WHOLE, masks=(), styles=1, content=None):
    """Return the terms and the gradient of a picture."""
    width, height = pixels.shape[-1], pixels.shape[-2]
    brushes = [mosaic(70, 64, seed=5), mosaic(64, 90, seed=6)][:styles]
    photo = content or mosaic(width, height, seed=1)
    objective = Objective(
        Sources.prepare(photo, brushes, masks, params),
        params,
        network=network,
        scale=Scale(width, height, 1),
        tile_edge=edge,
    )
    moving = pixels.clone().requires_grad_()
    terms = objective.evaluate(moving)
    return terms, moving.grad, objective.tiles


def noisy(width, height):
    generator = torch.Generator().manual_seed(0)
    return preprocess(mosaic(width, height, seed=2)) + torch.randn(
        1, 3, height, width, generator=generator
    )


def assert_same(found, expected):
    """Compare terms and gradients that were evaluated in two ways."""
    for name in ("content", "style", "tv", "total"):
        ours, its = getattr(found[0], name).item(), getattr(expected[0], name).item()
        assert ours == pytest.approx(its, rel=1e-4), name
    error = (found[1] - expected[1]).norm() / expected[1].norm()
    assert error < 1e-4
