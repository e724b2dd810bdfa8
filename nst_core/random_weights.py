"""`random`: VGG19's shape with random filters, for a machine that has no trained weights.

Random convolutions still tell colours, contrasts and grain apart (He, Wang & Hopcroft 2016,
arXiv:1606.04801), so that the palette and the texture of a style come through; objects mean nothing
to them.
"""

import math

import torch
from torch import Tensor

from nst_core.layers import CONVS_PER_BLOCK, LAYERS, WIDTHS, depth

_SEED = 0


def random_state() -> dict[str, Tensor]:
    """Return `features.N.weight` and `.bias` for all of VGG19, the same on every call.

    Weights are He-initialised (He et al. 2015, arXiv:1502.01852, eq. 10), biases 0.
    """
    generator = torch.Generator().manual_seed(_SEED)
    state: dict[str, Tensor] = {}
    width = 3
    outs = [out for out, convs in zip(WIDTHS, CONVS_PER_BLOCK, strict=True) for _ in range(convs)]
    names = [name for name in LAYERS if name.startswith("conv")]
    for name, out in zip(names, outs, strict=True):
        scale = math.sqrt(2 / (width * 9))
        key = f"features.{depth(name)}"
        state[f"{key}.weight"] = scale * torch.randn(out, width, 3, 3, generator=generator)
        state[f"{key}.bias"] = torch.zeros(out)
        width = out
    return state
