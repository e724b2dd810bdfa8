"""How each layer of VGG19, as trained on ImageNet, responds to one known picture.

The figures are minimum, maximum and norm, to three digits, of every layer of torchvision's
`VGG19_Weights.IMAGENET1K_V1` on `torch.manual_seed(0); torch.rand(1, 3, 256, 256)`, not normalised.
"""

import json
from dataclasses import dataclass
from importlib import resources

EDGE = 256
_FIGURES = "vgg19_imagenet_activations.json"


@dataclass(frozen=True)
class Response:
    """A layer's activations in three figures."""

    minimum: float
    maximum: float
    norm: float

    def __str__(self) -> str:
        return f"{self.minimum:.3g}, {self.maximum:.3g}, {self.norm:.3g}"


def known_responses() -> dict[str, Response]:
    """Return what each layer answers, by its name."""
    text = resources.files("nst_core").joinpath(_FIGURES).read_text(encoding="utf-8")
    return {layer: Response(*figures) for layer, figures in json.loads(text).items()}
