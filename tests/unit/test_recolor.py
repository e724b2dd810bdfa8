import numpy as np
import pytest
from PIL import Image

from nst_core import recolor
from nst_core.params import StyleParams
from nst_core.sources import Sources

LUMA = np.array((0.299, 0.587, 0.114))


def picture(mean, mixing, *, size=(60, 40), seed=0):
    """Noise with a mean (3,) and a covariance, in levels of 0–255, that need no clipping."""
    noise = np.random.default_rng(seed).uniform(-1, 1, (size[1], size[0], 3))
    levels = np.asarray(mean) + noise @ np.asarray(mixing).T
    assert levels.min() > 0
    assert levels.max() < 255
    return Image.fromarray(levels.round().astype(np.uint8))


@pytest.fixture
def warm():
    return picture((150, 110, 90), ((30, 0, 0), (20, 15, 0), (5, 5, 20)))


@pytest.fixture
def cold():
    return picture((80, 100, 140), ((25, 5, 0), (0, 20, -10), (-10, 0, 30)), seed=1)


def colors(image):
    """Return mean and covariance of a picture's colours, in levels."""
    pixels = np.asarray(image.convert("RGB"), dtype=np.float64).reshape(-1, 3)
    return pixels.mean(axis=0), np.cov(pixels.T, bias=True)


def chroma(image):
    pixels = np.asarray(image, dtype=np.float64)
    return pixels - (pixels @ LUMA)[..., None]


def test_matched_picture_has_the_photos_mean_and_covariance(warm, cold):
    matched = recolor.match_colors(warm, cold)

    (mean, spread), (wanted_mean, wanted_spread) = colors(matched), colors(cold)
    assert np.abs(mean - wanted_mean).max() < 0.2
    assert np.abs(spread - wanted_spread).max() < 0.01 * wanted_spread.max()


def test_no_other_linear_map_moves_colours_less(warm, cold):
    """The least mean square is tr C + tr C' − 2 tr (C C')^½; other maps reach C' as well."""
    matched = recolor.match_colors(warm, cold)

    before, after = (np.asarray(each, dtype=np.float64) for each in (warm, matched))
    moved = (after - after.mean(axis=(0, 1))) - (before - before.mean(axis=(0, 1)))
    (_, found), (_, wanted) = colors(warm), colors(cold)
    roots = np.sqrt(np.linalg.eigvals(found @ wanted).real)
    least = np.trace(found) + np.trace(wanted) - 2 * roots.sum()
    assert np.square(moved).sum(axis=2).mean() == pytest.approx(least, rel=0.02)


def test_matching_keeps_the_pattern(warm, cold):
    matched = recolor.match_colors(warm, cold)

    before, after = (np.asarray(each, dtype=np.float64) @ LUMA for each in (warm, matched))
    assert np.corrcoef(before.ravel(), after.ravel())[0, 1] > 0.9


def test_matching_a_picture_to_itself_changes_nothing(warm):
    matched = recolor.match_colors(warm, warm)

    assert np.array_equal(np.asarray(matched), np.asarray(warm))


def test_matching_luminance_to_itself_only_takes_colour_away(warm):
    matched = recolor.match_luminance(warm, warm)

    assert np.array_equal(np.asarray(matched), np.asarray(recolor.luminance(warm)))


def test_matched_luminance_has_the_photos_brightness_and_contrast(warm, cold):
    matched = recolor.match_luminance(warm, cold)

    found, wanted = (np.asarray(each, dtype=np.float64) @ LUMA for each in (matched, cold))
    assert found.mean() == pytest.approx(wanted.mean(), abs=0.5)
    assert found.std() == pytest.approx(wanted.std(), rel=0.02)
    assert np.abs(chroma(matched)).max() < 1e-9


def test_luminance_of_a_colour_is_its_luma():
    grey = recolor.luminance(Image.new("RGB", (4, 4), (200, 100, 50)))

    assert grey.getpixel((0, 0)) == (round(0.299 * 200 + 0.587 * 100 + 0.114 * 50),) * 3


def test_chroma_is_the_photos_and_luminance_the_pictures_own(warm, cold):
    own = np.asarray(warm, dtype=np.float32) / 255

    both = recolor.with_chroma(own, cold)

    assert both.min() > 0
    assert both.max() < 1
    assert np.abs(both @ LUMA - own @ LUMA).max() < 1e-5
    assert np.abs(chroma(255 * both) - chroma(cold)).max() < 1e-3


def test_photos_own_luminance_gives_the_photo_back(cold):
    own = np.asarray(recolor.luminance(cold), dtype=np.float32) / 255

    both = recolor.with_chroma(own, cold)

    assert np.abs(255 * both - np.asarray(cold)).max() < 1


@pytest.mark.parametrize("recolored", [recolor.match_colors, recolor.match_luminance])
def test_picture_of_one_colour_takes_on_the_photos_mean(recolored, cold):
    flat = Image.new("RGB", (20, 20), (10, 200, 30))

    matched = recolored(flat, cold)

    wanted = cold if recolored is recolor.match_colors else recolor.luminance(cold)
    assert np.abs(colors(matched)[0] - colors(wanted)[0]).max() < 1
    assert np.abs(colors(matched)[1]).max() < 1


@pytest.mark.parametrize("recolored", [recolor.match_colors, recolor.match_luminance])
def test_photo_of_one_colour_takes_nearly_all_contrast(recolored, warm):
    flat = Image.new("RGB", (20, 20), (10, 200, 30))

    matched = recolored(warm, flat)

    wanted = flat if recolored is recolor.match_colors else recolor.luminance(flat)
    assert np.abs(colors(matched)[0] - colors(wanted)[0]).max() < 1
    assert colors(matched)[1].max() < 3


def test_transparent_pixels_have_no_say(warm, cold):
    """Colours beneath what is transparent are of nobody's choosing."""
    cut_out = Image.new("RGBA", (120, 40), (255, 0, 255, 0))
    cut_out.paste(warm, (0, 0))

    matched = recolor.match_colors(cut_out, cold)

    visible = matched.crop((0, 0, 60, 40)).convert("RGB")
    assert np.array_equal(np.asarray(visible), np.asarray(recolor.match_colors(warm, cold)))
    assert matched.getchannel("A").tobytes() == cut_out.getchannel("A").tobytes()


def test_transparent_parts_of_the_photo_have_no_say(warm, cold):
    cut_out = Image.new("RGBA", (120, 40), (255, 0, 255, 0))
    cut_out.paste(cold, (0, 0))

    matched = recolor.match_colors(warm, cut_out)

    assert np.array_equal(np.asarray(matched), np.asarray(recolor.match_colors(warm, cold)))


def test_network_sees_what_preserve_color_asks_for(warm, cold):
    def seen(**params):
        sources = Sources.prepare(cold, [warm], (), StyleParams(**params))
        return sources.content.picture, sources.styles[0].picture, sources.photo.picture

    as_sent = seen(preserve_color="none")
    bright = seen(preserve_color="luminance")
    matched = seen(preserve_color="histogram")

    assert as_sent == (cold, warm, cold)
    assert bright == (recolor.luminance(cold), recolor.match_luminance(warm, cold), cold)
    assert matched == (cold, recolor.match_colors(warm, cold), cold)
