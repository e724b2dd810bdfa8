"""VGG19 in plain torch, next to the engine's own: what the engine is measured against.

Nothing but `torch.nn.functional` and autograd, so that no improvement of the engine leaks into its
opponents or its judge.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from nst_core.layers import LAYERS, deepest, depth
from nst_core.random_weights import random_state
from nst_core.weights import fetch_imagenet, read_state, resolve

#: Weight (out, in, 3, 3) and bias (out,) of each convolution, by its name.
Convolutions = dict[str, tuple[Tensor, Tensor]]

CACHE_DIR = Path.home() / ".local/share/nst-server/weights"


def load_convolutions(choice: str, device: torch.device) -> Convolutions:
    """Return the convolutions of the weights that `choice` names, float32 and channels last."""
    resolved, _ = resolve(choice, cache_dir=CACHE_DIR)
    state = _state(resolved)
    convs: Convolutions = {}
    for name in (layer for layer in LAYERS if layer.startswith("conv")):
        key = f"features.{depth(name)}"
        if f"{key}.weight" not in state:
            break
        convs[name] = (state[f"{key}.weight"].to(device), state[f"{key}.bias"].to(device))
    return arranged(convs, dtype=torch.float32, memory_format=torch.channels_last)


def _state(choice: str) -> dict[str, Tensor]:
    if choice == "random":
        return random_state()
    path = fetch_imagenet(CACHE_DIR) if choice == "imagenet" else Path(choice)
    return read_state(path)


def arranged(
    convs: Convolutions, *, dtype: torch.dtype, memory_format: torch.memory_format
) -> Convolutions:
    """Return the convolutions in a number format and an order in memory; copied only if need be."""
    return {
        name: (weight.to(dtype=dtype, memory_format=memory_format), bias.to(dtype))
        for name, (weight, bias) in convs.items()
    }


def features(
    pixels: Tensor,
    convs: Convolutions,
    layers: Iterable[str],
    *,
    pooling: Literal["max", "average"] = "max",
    repeat_edge: bool = False,
) -> dict[str, Tensor]:
    """Return the activations of `layers` for normalised pixels (1, 3, H, W).

    The border is zeros, but for the first convolution with `repeat_edge`. ReLU works in place where
    nobody looks at the convolution before it, as in torchvision's own VGG19.
    """
    wanted = tuple(layers)
    found: dict[str, Tensor] = {}
    x = pixels
    for name in LAYERS[: depth(deepest(wanted)) + 1]:
        if name.startswith("conv"):
            x = _convolve(x, *convs[name], repeat_edge=repeat_edge and name == LAYERS[0])
        elif name.startswith("relu"):
            x = functional.relu(x, inplace=f"conv{name[4:]}" not in wanted)
        else:
            x = functional.max_pool2d(x, 2) if pooling == "max" else functional.avg_pool2d(x, 2)
        if name in wanted:
            found[name] = x
    return found


def multiply_adds(convs: Convolutions, layers: Iterable[str], *, width: int, height: int) -> int:
    """Return the multiply-adds of running up to the deepest layer and back to the picture.

    The gradient of a convolution's input costs as many as the convolution; the rest is not counted.
    """
    count = 0
    for name in LAYERS[: depth(deepest(tuple(layers))) + 1]:
        if name.startswith("pool"):
            width, height = width // 2, height // 2
        elif name.startswith("conv"):
            count += convs[name][0].numel() * width * height
    return 2 * count


def _convolve(x: Tensor, weight: Tensor, bias: Tensor, *, repeat_edge: bool) -> Tensor:
    if repeat_edge:
        return functional.conv2d(functional.pad(x, (1, 1, 1, 1), mode="replicate"), weight, bias)
    return functional.conv2d(x, weight, bias, padding=1)
