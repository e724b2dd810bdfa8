"""Whatever the bytes, the answer is a picture or an `InvalidImage`."""

import pytest
from PIL import PngImagePlugin

from nst_core import errors
from nst_core.images import Picture, read_image
from tests.pictures import (
    FORMATS,
    ROWS,
    animation,
    code_of,
    dice,
    half_transparent,
    patched,
    png,
    saved,
    scene,
    swapping_profile,
)


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("sixteenth", range(1, 16))
def test_truncated_file_is_refused(sixteenth, kind):
    data = saved(scene(), kind)

    with pytest.raises(errors.InvalidImage) as caught:
        read_image(data[: len(data) * sixteenth // 16])

    assert caught.value.code == "invalid_image"
    if kind not in ("BMP", "TIFF"):  # these two have no end that one could miss
        assert caught.value.message == f"image is a damaged {kind} file: it is cut short"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "TIFF"])
def test_file_without_its_last_bytes_is_refused(kind):
    data = saved(scene(), kind, **({"progressive": True} if kind == "JPEG" else {}))

    for missing in (1, 2, 3, 5, 10):
        assert code_of(data[:-missing]) == "invalid_image"


def test_png_with_a_wrong_checksum_is_refused():
    """Pillow itself does not look at the checksum of pixels."""
    data = png(16, 16, rows=ROWS)
    end = data.index(b"IEND") - 8

    assert code_of(patched(data, end, ">I", 12345)) == "invalid_image"


VARIANTS = {
    **{kind: lambda kind=kind: saved(scene(), kind) for kind in FORMATS},
    "progressive": lambda: saved(scene(), "JPEG", progressive=True, icc_profile=swapping_profile()),
    "alpha": lambda: saved(half_transparent("RGBA"), "PNG", icc_profile=swapping_profile()),
    "alpha webp": lambda: saved(half_transparent("RGBA"), "WEBP", exif=b"Exif\0\0II*\0\x08\0\0\0"),
    "lzw": lambda: saved(scene(), "TIFF", compression="tiff_lzw", icc_profile=swapping_profile()),
    "jpeg in tiff": lambda: saved(scene(), "TIFF", compression="jpeg"),
    "animation": lambda: animation("WEBP"),
    "apng": lambda: animation("PNG"),
    "pages": lambda: animation("TIFF"),
    "palette": lambda: saved(scene().quantize(16), "PNG", transparency=3),
    "float": lambda: saved(scene(mode="F"), "TIFF"),
}


def answer_to(data):
    try:
        return read_image(data)
    except errors.InvalidImage as refusal:
        return refusal


def flipped(data, chance):
    damaged = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 8))):
        # Half of them near the beginning, where the structure is.
        end = len(data) if chance.random() < 0.5 else min(len(data), 200)
        damaged[chance.randrange(end)] ^= 1 << chance.randrange(8)
    return bytes(damaged)


@pytest.mark.parametrize("name", VARIANTS)
def test_flipped_bits_give_a_picture_or_a_refusal(name):
    data, chance = VARIANTS[name](), dice(11)

    for _ in range(150):
        answer = answer_to(flipped(data, chance))
        if isinstance(answer, errors.InvalidImage):
            assert not isinstance(
                answer.__cause__, Warning
            )  # it would be in the log, outside tests
        else:
            assert answer.image.mode in ("RGB", "RGBA")


@pytest.mark.parametrize("name", VARIANTS)
def test_spliced_files_give_a_picture_or_a_refusal(name):
    data, chance = VARIANTS[name](), dice(13)

    for _ in range(50):
        start, end = sorted(chance.randrange(len(data)) for _ in range(2))
        splice = chance.choice((b"", b"\xff" * 4, b"\0" * 4, data[start:end] * 2))
        answer = answer_to(data[:start] + splice + data[end:])

        assert isinstance(answer, Picture | errors.InvalidImage)


@pytest.mark.parametrize(
    "cause", [KeyError("x"), MemoryError(), RecursionError(), ZeroDivisionError(), SyntaxError()]
)
def test_whatever_a_decoder_raises_is_a_refusal(cause, monkeypatch):
    def load(_):
        raise cause

    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", load)

    with pytest.raises(errors.InvalidImage) as caught:
        read_image(saved(scene(), "PNG"))

    assert caught.value.__cause__ is cause
