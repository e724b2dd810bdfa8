"""`StyleParams`: every parameter of a stylisation, its default, its limits and its meaning.

The one place where they are written: the API, the command line, the web form and the docs read
them from here. Knows no torch, no file and no job.
"""

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from nst_core.errors import InvalidParams
from nst_core.layers import HISTOGRAM_LAYERS, LAYERS

MIN_EDGE = 32
MAX_SIZE = 4096
#: Long edge of the pyramid's first scale, in pixels: what fits one glance of the deepest layers.
FIRST_SCALE = 128

LayerWeight = Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False)]
MAX_WEIGHT = 1e12
Weight = Annotated[float, Field(ge=0, le=MAX_WEIGHT, allow_inf_nan=False)]

#: Named sets of parameters. What a preset leaves out has the field's default.
PRESETS: dict[str, dict[str, Any]] = {
    # Gatys, Ecker & Bethge 2016 (CVPR), section 3: white-noise start, L-BFGS, average pooling,
    # content on conv4_2 and style on conv1_1 … conv5_1 with w_l = 1/5, alpha/beta = 1e-3,
    # losses as equations 1, 4 and 5 have them, at one scale and without total variation.
    "gatys": {
        "loss": "gatys",
        "optimizer": "lbfgs",
        "init": "random",
        "pooling": "average",
        "content_weight": 1.0,
        "style_weight": 1e3,
        "tv_weight": 0.0,
        "scales": 1,
        "steps": 500,
    },
    "fast": {"size": 256, "steps": 100},
    "quality": {"size": 1024, "steps": 600},
}

_DEFAULT_LEARNING_RATE = {"adam": 0.02, "lbfgs": 1.0}
#: The style weight, beside a content weight of 1, that `stylization` 0.5 stands for.
_MIDDLE_STYLE_WEIGHT = {"wasserstein": 20.0, "gatys": 1e3}
#: The factor on it from one end of `stylization` to the middle.
_STYLIZATION_SPAN = 10.0


class StyleParams(BaseModel):
    """How a stylisation is computed; frozen, complete and checked on construction."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    preset: Literal["gatys", "fast", "quality"] | None = Field(
        None, description="Named set of parameters; what is given beside it has precedence."
    )
    size: int = Field(512, ge=64, le=MAX_SIZE, description="Long edge of the result, in pixels.")
    steps: int = Field(
        300, ge=1, le=20_000, description="Optimiser steps at most, all scales together."
    )
    tolerance: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Go on to the next scale, or end, when the total loss has fallen by less than "
        "this fraction from ten steps to the next ten, on average. 0 runs every step.",
    )
    optimizer: Literal["adam", "lbfgs"] = Field("adam", description="Optimisation method.")
    learning_rate: float | None = Field(
        None,
        gt=0,
        le=10,
        allow_inf_nan=False,
        description="Step length: for adam in units of the picture's 0–1 range, for lbfgs the "
        "share of the quasi-Newton step. Left out: 0.02 for adam, 1 for lbfgs.",
    )
    init: Literal["content", "random", "style"] = Field(
        "content", description="What the optimisation starts from."
    )
    loss: Literal["wasserstein", "gatys"] = Field(
        "wasserstein",
        description="wasserstein: the distance of mean and covariance of the features, as a share "
        "of their energy, so that weights mean the same at every size and with every network. "
        "gatys: Gram matrices and sums as in the 2016 paper.",
    )
    stylization: float | None = Field(
        None,
        ge=0,
        le=1,
        description="How strongly the style takes over, 0 to 1; 0.5 is the default. Sets "
        "style_weight against content_weight, which are for experts.",
    )
    content_weight: Weight = Field(1.0, description="Weight of the content loss.")
    style_weight: Weight = Field(
        20.0, description="Weight of the style loss; left out, 1000 for loss gatys."
    )
    tv_weight: Weight = Field(
        0.2, description="Weight of total variation, which smooths pixel noise."
    )
    histogram_weight: Weight = Field(
        0.0,
        description="Weight of the histogram loss, which keeps contrast where the style is uneven; "
        "a tenth of style_weight is much.",
    )
    style_blend: tuple[LayerWeight, ...] = Field(
        (), max_length=16, description="A weight for each style picture. Empty: all alike."
    )
    style_scale: float = Field(
        1.0,
        ge=0.1,
        le=2,
        description="Size of the style pictures relative to the result: larger gives larger "
        "strokes.",
    )
    preserve_color: Literal["none", "luminance", "histogram"] = Field(
        "none",
        description="What stays of the photo's colours. luminance: all of them, the style works "
        "on brightness alone. histogram: the style's colours are first matched to the photo's.",
    )
    content_layers: dict[str, LayerWeight] = Field(
        {"relu4_2": 1.0},
        min_length=1,
        description="Layers of the content loss with their weights.",
    )
    style_layers: dict[str, LayerWeight] = Field(
        {"relu1_1": 0.2, "relu2_1": 0.2, "relu3_1": 0.2, "relu4_1": 0.2, "relu5_1": 0.2},
        min_length=1,
        description="Layers of the style loss with their weights.",
    )
    pooling: Literal["max", "average"] = Field(
        "average",
        description="How the network shrinks: max as VGG19 was trained, average as Gatys used it, "
        "which gives smoother strokes.",
    )
    scales: int | None = Field(
        None,
        ge=1,
        le=12,
        description="Sizes of the coarse-to-fine pyramid, each √2 smaller than the next; "
        "none below 64 pixels. Left out: as many as there are from 128 pixels on.",
    )
    seed: int = Field(0, ge=0, lt=2**32, description="Seed of everything random.")
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto",
        description="Arithmetic of the convolutions. auto: bfloat16 where the device has it.",
    )
    snapshot_every: int = Field(
        20, ge=1, le=20_000, description="Steps from one intermediate picture to the next."
    )
    format: Literal["png", "jpeg", "webp"] = Field("png", description="File format of the result.")
    quality: int = Field(
        95, ge=1, le=100, description="Quality of a jpeg or webp result; png has none."
    )
    bit_depth: Literal[8, 16] = Field(
        8, description="Bits of each colour channel of the result; 16 only for png."
    )

    @model_validator(mode="before")
    @classmethod
    def _apply_preset(cls, data: Any) -> Any:  # noqa: ANN401 - pydantic hands over anything
        if not isinstance(data, Mapping):
            return data
        name = data.get("preset")  # an unknown one is refused by the field itself
        merged = {**(PRESETS.get(name, {}) if isinstance(name, str) else {}), **data}
        if "style_weight" in data:
            return merged
        if merged.get("stylization") is not None:
            merged.pop("style_weight", None)  # it sets the weight
        elif merged.get("loss") == "gatys":
            merged["style_weight"] = _MIDDLE_STYLE_WEIGHT["gatys"]
        return merged

    @model_validator(mode="after")
    def _complete(self) -> Self:
        for name in (*self.content_layers, *self.style_layers):
            if name not in LAYERS:
                raise ValueError(f"{name!r} is no layer of VGG19; layers are {', '.join(LAYERS)}")
        if self.content_weight == 0 and self.style_weight == 0:
            raise ValueError("content_weight and style_weight are both 0: nothing to optimise")
        if self.learning_rate is None:
            object.__setattr__(self, "learning_rate", _DEFAULT_LEARNING_RATE[self.optimizer])
        if self.scales is None:
            object.__setattr__(self, "scales", _scales_for(self.size))
        if self.bit_depth == 16 and self.format != "png":
            raise ValueError(f"a {self.format} file has 8 bits a channel; 16 need format png")
        return self._with_stylization()

    @model_validator(mode="after")
    def _check_histograms(self) -> Self:
        if not self.histogram_weight:
            return self
        if not {*HISTOGRAM_LAYERS}.intersection(self.style_layers):
            raise ValueError(
                f"histogram_weight needs one of {', '.join(HISTOGRAM_LAYERS)} among style_layers"
            )
        if self.style_weight == 0:
            raise ValueError("histogram_weight needs a style_weight above 0")
        return self

    def _with_stylization(self) -> Self:
        """Fill in the style weight that `stylization` stands for."""
        if self.stylization is None:
            return self
        factor = _STYLIZATION_SPAN ** (2 * self.stylization - 1)
        weight = self.content_weight * _MIDDLE_STYLE_WEIGHT[self.loss] * factor
        if not 0 < weight <= MAX_WEIGHT:
            raise ValueError(f"stylization makes style_weight {weight:g}: change content_weight")
        if "style_weight" not in self.model_fields_set:
            object.__setattr__(self, "style_weight", weight)
        elif not math.isclose(self.style_weight, weight, rel_tol=1e-6):
            raise ValueError("stylization sets style_weight: give one of the two")
        return self

    def blend_for(self, styles: int) -> tuple[float, ...]:
        """Return a weight for each of `styles` pictures, summing to 1.

        Raises:
            InvalidParams: `style_blend` has another number of weights.
        """
        weights = self.style_blend or (1.0,) * styles
        if len(weights) != styles:
            raise InvalidParams(
                f"style_blend has {len(weights)} weights for {styles} style pictures",
                hint="Give one weight a style picture, or leave style_blend out.",
            )
        return tuple(weight / sum(weights) for weight in weights)


def _scales_for(size: int) -> int:
    """Return how many sizes there are from `FIRST_SCALE` on, each √2 larger, up to `size`."""
    return max(1, sum(round(size / math.sqrt(2) ** step) >= FIRST_SCALE for step in range(12)))
