"""`random`: VGG19's shape with random filters, for a machine that has no trained weights.

Random convolutions still tell colours, contrasts and grain apart (He, Wang & Hopcroft 2016,
arXiv:1606.04801), so that the palette and the texture of a style come through; objects mean nothing
to them. What was tried on the way, and how it looked, is in docs/decisions/002-random-weights.md.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional

from nst_core.activations import EDGE, known_responses
from nst_core.layers import LAYERS, WIDTHS, depth, downsampling
from nst_core.pixels import normalise

_SEED = 0
_CALIBRATION_EDGE = 128
#: Share of unsmoothed noise in a filter: 0 gives washed-out shapes, far above 1 mere pixel noise.
_ROUGHNESS = 0.6
#: Share of its mean that is taken off a channel: at 1 colours are lost and much hangs on the
#: calibration picture, at 0 deep channels all say the same.
_CENTRING = 0.3


def random_state() -> dict[str, Tensor]:
    """Return `features.N.weight` and `.bias` for all of VGG19, the same on every call.

    Each filter's length is He's (He et al. 2015, arXiv:1502.01852, eq. 10), so that no layer dies.
    A share of each channel's mean on a calibration picture is taken off it, which keeps deep
    channels from all saying the same. Each layer's activations have the root mean square that they
    have in trained VGG19, so that the weights of the published loss keep their meaning.
    """
    generator = torch.Generator().manual_seed(_SEED)
    state: dict[str, Tensor] = {}
    x = _calibration_picture(generator)
    for name in LAYERS:
        if name.startswith("conv"):
            width = WIDTHS[int(name[4]) - 1]
            weight, bias, x = _calibrated(_filters(width, x.shape[1], generator), x, name)
            state[f"features.{depth(name)}.weight"] = weight
            state[f"features.{depth(name)}.bias"] = bias
        elif name.startswith("pool"):
            x = functional.avg_pool2d(x, 2)
    return state


def _filters(out: int, width: int, generator: torch.Generator) -> Tensor:
    """Return random filters (out, width, 3, 3), smooth for the most part, as trained ones are."""
    noise = torch.randn(out, width, 3, 3, generator=generator)
    edge = torch.tensor([1.0, 2.0, 1.0]) / 4
    blur = torch.outer(edge, edge).view(1, 1, 3, 3)
    smooth = functional.conv2d(noise.view(-1, 1, 3, 3), blur, padding=1).view_as(noise)
    filters = smooth / smooth.std() + _ROUGHNESS * noise
    lengths = filters.square().sum(dim=(1, 2, 3), keepdim=True).sqrt()
    return filters * math.sqrt(2) / lengths


def _calibrated(weight: Tensor, x: Tensor, name: str) -> tuple[Tensor, Tensor, Tensor]:
    """Return weight and bias that centre and scale a layer, and its activations after relu."""
    response = functional.conv2d(functional.pad(x, (1, 1, 1, 1), mode="replicate"), weight)
    shift = _CENTRING * response.mean(dim=(0, 2, 3))
    active = functional.relu(response - shift.view(1, -1, 1, 1))
    scale = _trained_rms(name.replace("conv", "relu")) / active.square().mean().sqrt()
    return weight * scale, -shift * scale, active * scale


def _trained_rms(layer: str) -> float:
    """Return the root mean square of a layer's activations in VGG19 as trained on ImageNet."""
    count = WIDTHS[int(layer[4]) - 1] * (EDGE // downsampling(layer)) ** 2
    return known_responses()[layer].norm / math.sqrt(count)


def _calibration_picture(generator: torch.Generator) -> Tensor:
    """Return noise with a photograph's spectrum: all sizes alike, mostly grey; (1, 3, H, W)."""
    picture = torch.zeros(1, 3, _CALIBRATION_EDGE, _CALIBRATION_EDGE)
    for octave in range(1, 8):
        grey = torch.randn(1, 1, 2**octave, 2**octave, generator=generator)
        tint = torch.randn(1, 3, 2**octave, 2**octave, generator=generator)
        picture += functional.interpolate(grey + 0.4 * tint, picture.shape[2:], mode="bicubic")
    return normalise((0.45 + 0.25 * picture / picture.std()).clamp(0, 1))
