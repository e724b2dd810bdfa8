"""How the picture looks: where which style applies, colours, transparency, size of strokes."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from nst_core import histograms
from nst_core.pixels import preprocess
from nst_core.sources import Source
from nst_core.targets import Lens, histogram_tops, style_histograms, style_statistics
from tests.networks import narrow_network
from tests.stylings import levels, run, small

LUMA = np.array((0.299, 0.587, 0.114))
RED, BLUE = (210, 40, 30), (30, 50, 200)


@pytest.fixture(scope="module")
def narrow():
    return narrow_network()


def bold(**changes):
    """Parameters with which the style soon has its way."""
    defaults = {"steps": 30, "content_weight": 0, "learning_rate": 0.1, "scales": 1}
    return small(**defaults | changes)


def textured(color, *, size=(64, 64)):
    """A colour with some noise in it."""
    noise = np.random.default_rng(0).normal(0, 15, (size[1], size[0], 1))
    return Image.fromarray((np.asarray(color) + noise).clip(0, 255).astype(np.uint8))


def left_of(picture):
    return picture.crop((0, 0, picture.width // 2, picture.height))


def right_of(picture):
    return picture.crop((picture.width // 2, 0, picture.width, picture.height))


def redness(picture):
    """Return how much redder than blue a picture is."""
    r, _, b = levels(picture.convert("RGB")).mean(axis=(0, 1))
    return r - b


def left_white(size):
    mask = Image.new("L", size, 0)
    ImageDraw.Draw(mask).rectangle((0, 0, size[0] // 2 - 1, size[1]), fill=255)
    return mask


def negative(mask):
    return mask.point(lambda level: 255 - level)


def chroma(picture):
    pixels = levels(picture)
    return pixels - (pixels @ LUMA)[..., None]


def test_each_styles_colours_appear_on_its_own_side(photo, narrow):
    left = left_white((200, 130))
    styles = [textured(RED), textured(BLUE)]

    result = run(photo, styles, bold(), narrow, masks=(left, negative(left))).picture()
    swapped = run(photo, styles, bold(), narrow, masks=(negative(left), left)).picture()

    assert redness(left_of(result)) > redness(right_of(result)) + 60
    assert redness(right_of(swapped)) > redness(left_of(swapped)) + 60


def test_what_no_mask_selects_stays_nearer_to_the_photo(photo, narrow):
    near = {"relu1_1": 0.5, "relu2_1": 0.5}  # deeper layers look across the whole picture
    params = bold(style_layers=near, content_layers={"relu2_1": 1.0}, content_weight=1)

    result = run(photo, [textured(RED)], params, narrow, masks=(left_white((64, 64)),)).picture()

    apart = np.abs(levels(result) - levels(photo.resize(result.size)))
    half = result.width // 2
    assert apart[:, half:].mean() < 0.5 * apart[:, :half].mean()


def test_second_style_counts_by_its_weight(photo, painting, narrow):
    def red_with(*blend):
        styles = [textured(BLUE), textured(RED)]
        return redness(run(photo, styles, bold(style_blend=blend), narrow).picture())

    assert red_with(1, 20) > red_with(1, 1) + 20
    assert red_with(1, 1) > red_with(20, 1) + 20


def test_blend_spans_both_styles_instead_of_their_mean(photo, narrow):
    """Raw moments mix: between black and white lies contrast, not grey."""
    black, white = Image.new("RGB", (64, 64), (20,) * 3), Image.new("RGB", (64, 64), (235,) * 3)
    grey = Image.new("RGB", (64, 64), (128,) * 3)

    both = run(photo, [black, white], bold(), narrow).picture()
    mean = run(photo, [grey], bold(), narrow).picture()

    assert levels(both).std() > 2 * levels(mean).std()


def test_alpha_of_the_photo_comes_back(photo, painting, narrow):
    cut_out = photo.copy()
    alpha = Image.radial_gradient("L").resize(photo.size)
    cut_out.putalpha(alpha)

    progress = run(cut_out, [painting], small(), narrow)

    picture, samples = progress.picture(), progress.samples()
    wanted = levels(alpha.resize(picture.size, Image.Resampling.LANCZOS))
    assert picture.mode == "RGBA"
    assert np.array_equal(levels(picture)[..., 3], wanted)
    assert np.array_equal(samples[..., 3], wanted * 257)


def test_opaque_photo_gives_an_opaque_picture(photo, painting, narrow):
    translucent = painting.copy()
    translucent.putalpha(Image.radial_gradient("L").resize(painting.size))

    progress = run(photo, [translucent], small(steps=2), narrow)

    assert progress.picture().mode == "RGB"
    assert progress.samples().shape[2] == 3


def test_transparent_parts_of_a_style_have_no_say(photo, narrow):
    """Its left is red and visible; on the right lies blue beneath what is transparent."""
    style = Image.new("RGB", (128, 64))
    style.paste(textured(RED), (0, 0))
    style.paste(textured(BLUE), (64, 0))
    seen = run(photo, [style], bold(), narrow).picture()

    style.putalpha(left_white(style.size))
    result = run(photo, [style], bold(), narrow).picture()

    alone = run(photo, [textured(RED)], bold(), narrow).picture()
    assert redness(result) > redness(seen) + 40
    assert redness(result) == pytest.approx(redness(alone), abs=20)


def test_larger_style_scale_gives_larger_strokes(photo, narrow):
    blocks = Image.effect_noise((24, 24), 90).resize((96, 96), Image.Resampling.NEAREST)
    near = {"relu1_1": 0.5, "relu2_1": 0.5}

    def roughness(scale):
        params = bold(style_scale=scale, tv_weight=0, style_layers=near)
        result = levels(run(photo, [blocks.convert("RGB")], params, narrow).picture())
        return np.abs(np.diff(result, axis=1)).mean() / result.std()

    fine, middle, coarse = roughness(0.5), roughness(1), roughness(2)

    assert fine > 1.1 * middle
    assert middle > 1.1 * coarse


def test_preserved_luminance_keeps_the_photos_chroma(photo, painting, narrow):
    params = small(preserve_color="luminance", stylization=1, steps=30)
    result = run(photo, [painting], params, narrow).picture()

    wanted = photo.resize(result.size, Image.Resampling.LANCZOS)
    pixels = levels(result)
    unclipped = ((pixels > 0) & (pixels < 255)).all(axis=2)
    assert unclipped.mean() > 0.5
    assert np.abs(chroma(result) - chroma(wanted))[unclipped].max() < 1.5
    assert np.abs(pixels @ LUMA - levels(wanted) @ LUMA).mean() > 5


def test_histogram_colours_bring_the_picture_nearer_to_the_photos_colours(photo, narrow):
    def colours_apart(preserve_color):
        params = bold(preserve_color=preserve_color)
        result = run(photo, [textured(BLUE)], params, narrow).picture()
        return np.abs(levels(result).mean(axis=(0, 1)) - levels(photo).mean(axis=(0, 1))).mean()

    assert colours_apart("histogram") < 0.5 * colours_apart("none")


def test_histogram_weight_brings_the_histograms_nearer(photo, network):
    """Spots on black: a style whose two moments say little."""
    spots = Image.new("RGB", photo.size)
    for x in range(4, photo.width, 12):
        for y in range(4, photo.height, 12):
            spots.paste((250, 240, 200), (x, y, x + 3, y + 3))
    lens = Lens(network, "average", ("relu1_1",), 1 << 20)
    style, size = Source.of(spots), spots.size
    tops = histogram_tops(style_statistics(lens, style, size, cache=None))
    wanted = style_histograms(lens, style, size, tops)["relu1_1"].cumsum(dim=1)

    def histograms_apart(weight):
        params = bold(histogram_weight=weight, style_layers={"relu1_1": 1.0}, content_weight=0.05)
        result = run(photo, [spots], params, network).picture()
        with torch.no_grad():
            features = network.features(preprocess(result), ["relu1_1"])["relu1_1"]
        counts = histograms.counts(features, tops["relu1_1"])
        return (histograms.shares(counts).cumsum(dim=1) - wanted).abs().mean().item()

    assert histograms_apart(15) < 0.9 * histograms_apart(0)
