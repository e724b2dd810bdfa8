"""Draw the two sample pictures, content.jpg and style.jpg, beside this file.

Run `python api/samples/draw.py`; the result is the same each time.
"""

from pathlib import Path

from api.samples.draw_content import draw_content
from api.samples.draw_style import draw_style

JPEG_QUALITY = 85


def main() -> None:
    """Write both pictures."""
    here = Path(__file__).parent
    for name, draw in (("content", draw_content), ("style", draw_style)):
        draw().save(here / f"{name}.jpg", quality=JPEG_QUALITY, optimize=True, progressive=True)


if __name__ == "__main__":
    main()
