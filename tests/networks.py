"""Networks for tests that are about everything but the picture."""

import torch

from nst_core.layers import LAYERS, depth
from nst_core.vgg import Vgg


def narrow_network() -> Vgg:
    """Return a network of VGG19's shape, eight channels wide: quick, and no less deterministic."""
    torch.set_num_threads(1)  # threads of tests that run side by side wait for each other
    generator = torch.Generator().manual_seed(0)
    state, before = {}, 3
    for name in LAYERS:
        if name.startswith("conv"):
            key = f"features.{depth(name)}"
            state[f"{key}.weight"] = torch.randn(8, before, 3, 3, generator=generator) / 5
            state[f"{key}.bias"] = torch.randn(8, generator=generator) / 10
            before = 8
    return Vgg(state, name="narrow")
