"""`Sources`: the pictures that a stylisation is made from, checked and prepared once.

Knows what transparency and `preserve_color` do to them before the network sees any.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

from PIL import Image

from nst_core import recolor
from nst_core.errors import InvalidParams
from nst_core.masks import check_mask_count
from nst_core.params import StyleParams


@dataclass(frozen=True)
class Source:
    """A picture, RGB, with what is visible of it: `alpha` (L), or None for all."""

    picture: Image.Image
    alpha: Image.Image | None = None

    @classmethod
    def of(cls, picture: Image.Image) -> Self:
        """Return an RGB or RGBA picture as a source."""
        alpha = picture.getchannel("A") if picture.mode == "RGBA" else None
        return cls(picture.convert("RGB"), alpha)

    @cached_property
    def digest(self) -> str:
        """What identifies the pixels, as hex."""
        digest = hashlib.sha256()
        for part in (self.picture, self.alpha):
            if part is not None:
                digest.update(f"{part.mode} {part.size}\n".encode())
                digest.update(part.tobytes())
        return digest.hexdigest()


@dataclass(frozen=True)
class Sources:
    """What the engine works from.

    `photo` is the content picture as it was sent, for colours that are to stay; `content` and
    `styles` are what the network looks at. `masks` (L) say where on the photo each style applies;
    none when all styles are blended everywhere.
    """

    photo: Source
    content: Source
    styles: tuple[Source, ...]
    masks: tuple[Image.Image, ...]

    @classmethod
    def prepare(
        cls,
        content: Image.Image,
        styles: Sequence[Image.Image],
        masks: Sequence[Image.Image],
        params: StyleParams,
    ) -> Self:
        """Return the sources of a stylisation.

        Raises:
            InvalidParams: the parameters do not fit the number of styles.
            InvalidMask: the masks do not.
        """
        if not styles:
            raise InvalidParams("there is no style picture", hint="Give at least one.")
        params.blend_for(len(styles))
        _check_visible(content, *styles)
        check_mask_count(len(masks), len(styles))
        seen, brushes = content, list(styles)
        if params.preserve_color == "luminance":
            seen = recolor.luminance(content)
            brushes = [recolor.match_luminance(style, content) for style in styles]
        elif params.preserve_color == "histogram":
            brushes = [recolor.match_colors(style, content) for style in styles]
        return cls(
            Source.of(content),
            Source.of(seen),
            tuple(Source.of(style) for style in brushes),
            tuple(mask.convert("L") for mask in masks),
        )

    def fingerprint(self, params: StyleParams, *, weights: str) -> str:
        """Return what identifies the stylisation: pictures, parameters and weights, as hex."""
        digest = hashlib.sha256(f"{params.model_dump_json()}\n{weights}\n".encode())
        for source in (self.photo, *self.styles, *map(Source, self.masks)):
            digest.update(source.digest.encode())
        return digest.hexdigest()


def _check_visible(*pictures: Image.Image) -> None:
    for picture in pictures:
        if picture.mode == "RGBA" and picture.getchannel("A").getbbox() is None:
            raise InvalidParams(
                "a picture is transparent everywhere", hint="Take one in which something is seen."
            )
