"""VGG19's feature extractor: from a picture to the activations of named layers.

Owns the topology and its weights; a convolution's arithmetic is `convolution`'s, and where weights
come from is `weights`' business. The layer widths are read from the tensors, so a narrower network
of the same shape works just as well.
"""

from collections.abc import Iterable, Mapping
from typing import Literal, Self

import torch
from torch import Tensor
from torch.nn import functional

from nst_core.convolution import Border, Convolution
from nst_core.errors import WeightsUnavailable
from nst_core.layers import LAYERS, deepest, depth

Pooling = Literal["max", "average"]


class Vgg:
    """VGG19 up to the last convolution that the weights hold.

    `name` is the label by which people know the weights; `notice`, when not empty, is what they
    should be told before a picture is made with them.
    """

    def __init__(self, state: Mapping[str, Tensor], *, name: str, notice: str = "") -> None:
        self.name = name
        self.notice = notice
        self._convs = _convolutions(state)

    @property
    def device(self) -> torch.device:
        """The device that the weights lie on and features are computed on."""
        return self._convs["conv1_1"].weight.device

    @property
    def dtype(self) -> torch.dtype:
        """The number format of the convolutions."""
        return self._convs["conv1_1"].weight.dtype

    @property
    def layers(self) -> tuple[str, ...]:
        """The names of the layers that can be asked for, in order."""
        missing = [name for name in LAYERS if name.startswith("conv") and name not in self._convs]
        return LAYERS[: depth(missing[0])] if missing else LAYERS

    def to(self, *, device: torch.device | None = None, dtype: torch.dtype | None = None) -> Self:
        """Return the same network on another device or in another number format."""
        if device in (None, self.device) and dtype in (None, self.dtype):
            return self
        state = {
            f"features.{depth(layer)}.{part}": tensor.to(device=device, dtype=dtype)
            for layer, conv in self._convs.items()
            for part, tensor in (("weight", conv.weight), ("bias", conv.bias))
        }
        return type(self)(state, name=self.name, notice=self.notice)

    def require(self, layers: Iterable[str]) -> None:
        """Check that every one of `layers` can be computed.

        Raises:
            WeightsUnavailable: the weights end before one of them.
        """
        for layer in layers:
            if layer not in self.layers:
                raise WeightsUnavailable(
                    f"the weights {self.name!r} end at {self.layers[-1]}; {layer} is missing",
                    hint="Use weights that hold the layer, or choose other content and style "
                    "layers.",
                )

    def features(
        self,
        image: Tensor,
        layers: Iterable[str],
        pooling: Pooling = "max",
        *,
        border: Border = "replicate",
    ) -> dict[str, Tensor]:
        """Return the activations of `layers`, running no layer that none of them needs.

        Args:
            image: (1, 3, H, W), normalised as the network was trained; H and W of any parity, at
                least `layers.downsampling` of the deepest layer.
            layers: names such as `relu4_2`.
            pooling: how the network shrinks.
            border: what lies beyond the picture's edge. VGG19 was trained with zeros, which are a
                grey frame to it; repeating the edge pixel keeps that frame out of the result.

        Returns:
            A tensor (1, C, h, w) for each name, in the network's number format.

        Raises:
            WeightsUnavailable: the weights end before one of the layers.
        """
        wanted = tuple(layers)
        self.require(wanted)
        found: dict[str, Tensor] = {}
        x = image.to(self.dtype, memory_format=torch.channels_last)
        for name in LAYERS[: depth(deepest(wanted)) + 1]:
            if name.startswith("pool"):
                x = _pool(x, pooling)
            elif name.startswith("conv"):
                x = self._convs[name](x, border, rectified=name not in wanted)
            elif f"conv{name[4:]}" in wanted:
                x = functional.relu(x)
            if name in wanted:
                found[name] = x
        return found


def _pool(x: Tensor, pooling: Pooling) -> Tensor:
    if pooling == "average":
        return functional.avg_pool2d(x, 2)
    return torch.max_pool2d(x, 2)


def _fault(weight: Tensor, bias: Tensor | None, width: int) -> str:
    """Return what keeps tensors from being a convolution of `width` channels; empty if nothing."""
    if bias is None:
        return "has no bias"
    if weight.shape[1:] != (width, 3, 3) or bias.shape != weight.shape[:1] or not len(bias):
        return f"has the shapes {tuple(weight.shape)} and {tuple(bias.shape)}"
    if not all(t.layout is torch.strided and t.is_floating_point() for t in (weight, bias)):
        return "holds no floating-point numbers"
    if not all(t.isfinite().all() for t in (weight, bias)):
        return "holds numbers that are not finite"
    return ""


def _convolutions(state: Mapping[str, Tensor]) -> dict[str, Convolution]:
    """Return each convolution up to the first whose weights are absent, by its name."""
    convs: dict[str, Convolution] = {}
    width = 3
    for name in (layer for layer in LAYERS if layer.startswith("conv")):
        key = f"features.{depth(name)}"
        if f"{key}.weight" not in state:
            break
        weight, bias = state[f"{key}.weight"], state.get(f"{key}.bias")
        fault = _fault(weight, bias, width)
        if fault:
            raise WeightsUnavailable(
                f"{key} ({name}) {fault}: this is no VGG19",
                hint="Use torchvision's VGG19 weights or a file with the same names and shapes.",
            )
        assert bias is not None  # noqa: S101 - or there was a fault
        width = weight.shape[0]
        convs[name] = Convolution(weight.detach(), bias.detach())
    if not convs:
        raise WeightsUnavailable(
            "the weights hold no features.0.weight: this is no VGG19",
            hint="Use torchvision's VGG19 weights or a file with the same names.",
        )
    return convs
