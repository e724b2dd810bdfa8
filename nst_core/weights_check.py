"""Whether weights are torchvision's VGG19 as trained on ImageNet.

The known answer is each layer's response to one reproducible picture of noise, to three digits; so
a converted, halved or cut file is recognised as well, which a hash could not do.
"""

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nst_core.activations import EDGE, Response, known_responses
from nst_core.vgg import Vgg
from nst_core.weights import load_file_network


@dataclass(frozen=True)
class LayerCheck:
    """What a layer should answer, and what it did."""

    layer: str
    expected: Response
    found: Response

    @property
    def matches(self) -> bool:
        """Whether all three figures agree to one unit of their third digit."""
        pairs = zip(vars(self.expected).values(), vars(self.found).values(), strict=True)
        return all(_agrees(expected, found) for expected, found in pairs)


@dataclass(frozen=True)
class Report:
    """The layers that the weights hold, in order."""

    name: str
    layers: tuple[LayerCheck, ...]

    @property
    def matches(self) -> bool:
        """Whether every layer answers as VGG19 trained on ImageNet does."""
        return all(layer.matches for layer in self.layers)

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain values."""
        layers = [{**asdict(layer), "matches": layer.matches} for layer in self.layers]
        return {"name": self.name, "matches": self.matches, "layers": layers}

    def as_text(self) -> str:
        """Return the report as a table with a verdict."""
        rows = [f"{'layer':8} {'expected min, max, norm':>30} {'found':>30}"]
        for check in self.layers:
            mark = "" if check.matches else "  differs"
            rows.append(f"{check.layer:8} {check.expected!s:>30} {check.found!s:>30}{mark}")
        verdict = "is" if self.matches else "is NOT"
        last = self.layers[-1].layer
        rows.append(f"{self.name}: {verdict} VGG19 as trained on ImageNet (up to {last})")
        return "\n".join(rows)


def check(weights: Vgg | Path) -> Report:
    """Compare every layer of a network, or of a file, with the known answer.

    Raises:
        WeightsUnavailable: the file is missing, damaged or no VGG19.
    """
    if isinstance(weights, Path):
        weights = load_file_network(weights).to(dtype=torch.float32)
    # Not normalised and with zeros beyond the border, as the figures were taken.
    noise = torch.rand(1, 3, EDGE, EDGE, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        features = weights.features(noise.to(weights.device), weights.layers, border="zeros")
    figures = known_responses()
    return Report(
        name=weights.name,
        layers=tuple(
            LayerCheck(layer, expected=figures[layer], found=_response(features[layer]))
            for layer in weights.layers
        ),
    )


def _response(features: Tensor) -> Response:
    exact = features.float()
    return Response(exact.min().item(), exact.max().item(), exact.norm().item())


def _agrees(expected: float, found: float) -> bool:
    if expected == 0:
        return found == 0
    unit = 10.0 ** (math.floor(math.log10(abs(expected))) - 2)
    return abs(found - expected) <= unit
