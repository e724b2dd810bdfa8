"""Make the pictures of `docs/styling.md`: what each preset and parameter does to one pair.

    .venv/bin/python docs/gallery.py

takes the sample pair and the random weights, and writes `docs/presets.jpg` and `docs/looks.jpg`.
The seconds in the captions are those of the machine that it runs on.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont, ImageOps

from nst_core.machine import use_huge_pages

use_huge_pages()  # before torch is loaded

from nst_core.engine import stylize  # noqa: E402
from nst_core.images import read_image  # noqa: E402
from nst_core.params import StyleParams  # noqa: E402
from nst_core.vgg import Vgg  # noqa: E402
from nst_core.weights import load_network  # noqa: E402

DOCS = Path(__file__).parent
SAMPLES = DOCS.parent / "api" / "samples"
CELL, GAP, CAPTION = (400, 300), 6, 26
PRESETS: dict[str, dict[str, Any]] = {
    "no preset": {},
    "fast": {"preset": "fast"},
    "quality": {"preset": "quality"},
    "gatys": {"preset": "gatys"},
}
LOOKS: dict[str, dict[str, Any]] = {
    "stylization 0": {"stylization": 0},
    "stylization 0.5 (default)": {},
    "stylization 1": {"stylization": 1},
    "preserve_color luminance": {"preserve_color": "luminance"},
    "preserve_color histogram": {"preserve_color": "histogram"},
    "histogram_weight 2": {"histogram_weight": 2},
    "style_scale 0.5": {"style_scale": 0.5},
    "style_scale 2": {"style_scale": 2},
    "mask: the right half": {"mask": "right"},
}


def picture(name: str) -> Image.Image:
    """Return one of the sample pictures."""
    return read_image((SAMPLES / name).read_bytes()).image


def made(network: Vgg, *, mask: str = "", **params: Any) -> tuple[Image.Image, float]:  # noqa: ANN401 - any parameter
    """Return the result of stylising the sample pair, and the seconds that it took."""
    content, style = picture("content.jpg"), picture("style.jpg")
    masks = [right_half(content.size)] if mask else []
    started = time.monotonic()
    for progress in stylize(content, [style], StyleParams(**params), network=network, masks=masks):
        last = progress
    return last.picture(), time.monotonic() - started


def right_half(size: tuple[int, int]) -> Image.Image:
    """Return a mask that is black on the left, white on the right, and soft between."""
    width = size[0]
    ramp = [max(0, min(255, (x * 8 - 3 * width) * 255 // (2 * width))) for x in range(width)]
    line = Image.new("L", (width, 1))
    line.putdata(ramp)
    return line.resize(size)


def cell(image: Image.Image, caption: str) -> Image.Image:
    """Return a picture in a cell with its caption beneath."""
    framed = Image.new("RGB", (CELL[0], CELL[1] + CAPTION), "white")
    framed.paste(ImageOps.fit(image.convert("RGB"), CELL, Image.Resampling.LANCZOS))
    font = ImageFont.load_default(15)
    ImageDraw.Draw(framed).text((2, CELL[1] + 4), caption, fill="#333", font=font)
    return framed


def sheet(cells: Sequence[Image.Image], columns: int) -> Image.Image:
    """Return cells in rows."""
    wide, tall = CELL[0] + GAP, CELL[1] + CAPTION + GAP
    rows = -(-len(cells) // columns)
    canvas = Image.new("RGB", (columns * wide - GAP, rows * tall - GAP), "white")
    for index, framed in enumerate(cells):
        canvas.paste(framed, (index % columns * wide, index // columns * tall))
    return canvas


def draw_presets(network: Vgg) -> None:
    """Write the sheet of the presets, with the seconds that each took."""
    cells = [cell(picture("content.jpg"), "content"), cell(picture("style.jpg"), "style")]
    for name, params in PRESETS.items():
        result, seconds = made(network, **params)
        cells.append(cell(result, f"{name}: {max(result.size)} px, {seconds:.0f} s"))
    sheet(cells, 3).save(DOCS / "presets.jpg", quality=88)


def draw_looks(network: Vgg) -> None:
    """Write the sheet of single parameters."""
    few = {"size": 256, "steps": 150}
    cells = [cell(made(network, **few | params)[0], name) for name, params in LOOKS.items()]
    sheet(cells, 3).save(DOCS / "looks.jpg", quality=88)


if __name__ == "__main__":
    loaded = load_network("random", cache_dir=DOCS)
    draw_looks(loaded)
    draw_presets(loaded)
