"""Lay out a demo's pictures: content, style and result above, how it developed below.

    make demo && .venv/bin/python docs/contact_sheet.py

reads `demo/`, the sample pair, and writes `docs/sheet.jpg`.
"""

from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps

ROOT = Path(__file__).parents[1]
SAMPLES = ROOT / "api" / "samples"
DEMO = ROOT / "demo"
TALL, LOW = (400, 300), (298, 224)
GAP, CAPTION = 6, 26
STEPS = (25, 75, 125, 175)


def tile(path: Path, extent: tuple[int, int], caption: str) -> Image.Image:
    """Return a picture of `extent` (width, height) with its caption beneath."""
    with Image.open(path) as file:
        picture = ImageOps.fit(file.convert("RGB"), extent, Image.Resampling.LANCZOS)
    framed = Image.new("RGB", (extent[0], extent[1] + CAPTION), "white")
    framed.paste(picture)
    font = ImageFont.load_default(15)
    ImageDraw.Draw(framed).text((2, extent[1] + 4), caption, fill="#333", font=font)
    return framed


def row(tiles: list[Image.Image], width: int) -> Image.Image:
    """Return tiles side by side, spread over `width` pixels."""
    strip = Image.new("RGB", (width, tiles[0].height), "white")
    space = (width - sum(picture.width for picture in tiles)) / (len(tiles) - 1)
    left = 0.0
    for picture in tiles:
        strip.paste(picture, (round(left), 0))
        left += picture.width + space
    return strip


def main() -> None:
    """Write the sheet."""
    width = 3 * TALL[0] + 2 * GAP
    above = [
        tile(SAMPLES / "content.jpg", TALL, "content"),
        tile(SAMPLES / "style.jpg", TALL, "style"),
        tile(DEMO / "result.png", TALL, "result (random weights)"),
    ]
    below = [tile(DEMO / f"step-{step:04d}.jpg", LOW, f"step {step}") for step in STEPS]
    rows = [row(above, width), row(below, width)]
    sheet = Image.new("RGB", (width, sum(strip.height for strip in rows)), "white")
    top = 0
    for strip in rows:
        sheet.paste(strip, (0, top))
        top += strip.height
    sheet.save(ROOT / "docs" / "sheet.jpg", quality=88)


if __name__ == "__main__":
    main()
