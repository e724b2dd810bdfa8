import pytest
import torch
from PIL import Image, ImageDraw

from nst_core import histograms
from nst_core.pixels import preprocess
from nst_core.regions import style_size
from nst_core.schedule import Scale
from nst_core.targets import histogram_tops
from nst_core.wasserstein import Target, squared_distance
from tests.features import moments
from tests.networks import narrow_network
from tests.objectives import assert_same, evaluated, halves, mosaic, noisy, small


@pytest.fixture(scope="module")
def narrow():
    return narrow_network()


def left_white(width, height, columns):
    mask = Image.new("L", (width, height), 0)
    ImageDraw.Draw(mask).rectangle((0, 0, columns - 1, height), fill=255)
    return mask


def features(network, picture, size):
    pixels = picture if isinstance(picture, torch.Tensor) else preprocess(picture, size)
    return network.features(pixels, ["relu1_1"], "average")["relu1_1"]


def by_the_book(found, photo, style):
    """Return the style distance and the histogram distance of a part of the picture."""
    statistics, wanted = moments(found), moments(style)
    energy = (wanted.energy + moments(photo).energy) / 2
    top = histogram_tops({"relu1_1": wanted})["relu1_1"]
    ours, its = (histograms.shares(histograms.counts(each, top)) for each in (found, style))
    pulled = histograms.distance(found, histograms.matching(ours, its), top)
    positions = found.shape[-2] * found.shape[-1]
    distance = squared_distance(statistics, Target.of(wanted))
    return (distance / energy).item(), (pulled / positions / energy).item()


def test_each_masks_part_is_compared_with_its_own_style(narrow):
    params = small(style_layers={"relu1_1": 1.0}, histogram_weight=2.0)
    pixels, left = noisy(96, 64), left_white(96, 64, 32)
    right = left.point(lambda level: 255 - level)

    terms, *_ = evaluated(pixels, params, narrow, masks=(left, right), styles=2)

    scale, photo = Scale(96, 64, 1), mosaic(96, 64, seed=1)
    expected = 0.0
    for style, part, share in (
        (mosaic(70, 64, seed=5), slice(0, 32), 1 / 3),
        (mosaic(64, 90, seed=6), slice(32, 96), 2 / 3),
    ):
        distance, pulled = by_the_book(
            features(narrow, pixels, None)[..., part],
            features(narrow, photo, (96, 64))[..., part],
            features(narrow, style, style_size(style.size, scale, 1.0)),
        )
        expected += share * (params.style_weight * distance + 2 * pulled)
    assert terms.style.item() == pytest.approx(expected, rel=1e-4)


def test_blend_weighs_what_masks_leave_to_each_style(narrow):
    pixels, left = noisy(96, 64), left_white(96, 64, 32)
    right = left.point(lambda level: 255 - level)

    def style_term(*blend):
        params = small(style_blend=blend)
        return evaluated(pixels, params, narrow, masks=(left, right), styles=2)[0].style.item()

    even, first, second = style_term(1, 1), style_term(3, 1), style_term(1, 3)

    assert first + second == pytest.approx(2 * even, rel=1e-5)
    assert first != pytest.approx(second, rel=1e-3)


def test_mask_selects_nothing_of_what_is_transparent(narrow):
    params = small(content_weight=0, tv_weight=0, style_layers={"relu2_1": 1.0})
    photo = mosaic(96, 64, seed=1)
    photo.putalpha(left_white(96, 64, 32))

    _, gradient, _ = evaluated(
        noisy(96, 64), params, narrow, content=photo, masks=(left_white(96, 64, 64),)
    )

    assert gradient[..., :32].abs().mean() > 0
    assert gradient[..., 40:].abs().max() == 0


def test_white_mask_is_no_mask(narrow):
    pixels, params = noisy(96, 64), small(histogram_weight=2.0)

    bare = evaluated(pixels, params, narrow)
    masked = evaluated(pixels, params, narrow, masks=(Image.new("L", (10, 10), 255),))

    assert_same(masked, bare)


def test_even_grey_masks_take_each_style_for_the_whole_by_its_grey(narrow):
    params = small(style_layers={"relu1_1": 1.0}, histogram_weight=2.0)
    pixels, grey = noisy(96, 64), Image.new("L", (10, 10), 102)

    terms, *_ = evaluated(pixels, params, narrow, masks=(grey, grey), styles=2)

    scale, photo = Scale(96, 64, 1), mosaic(96, 64, seed=1)
    expected = 0.0
    for style in (mosaic(70, 64, seed=5), mosaic(64, 90, seed=6)):
        distance, pulled = by_the_book(
            features(narrow, pixels, None),
            features(narrow, photo, (96, 64)),
            features(narrow, style, style_size(style.size, scale, 1.0)),
        )
        expected += 102 / 255 * (params.style_weight * distance + 2 * pulled)
    assert terms.style.item() == pytest.approx(expected, rel=1e-4)


def test_masked_style_pulls_only_what_it_can_see(narrow):
    """Pixels farther from the mask than the deepest layer looks have no gradient."""
    params = small(content_weight=0, tv_weight=0, style_layers={"relu2_1": 1.0})
    left = Image.new("L", (96, 64), 0)
    ImageDraw.Draw(left).rectangle((0, 0, 31, 64), fill=255)

    _, gradient, _ = evaluated(noisy(96, 64), params, narrow, masks=(left,))

    assert gradient[..., :32].abs().mean() > 0
    assert gradient[..., 40:].abs().max() == 0


def test_transparent_parts_of_the_photo_have_no_say_in_its_style(narrow):
    params = small(content_weight=0, tv_weight=0, style_layers={"relu2_1": 1.0})
    photo = mosaic(96, 64, seed=1)
    visible = Image.new("L", (96, 64), 0)
    ImageDraw.Draw(visible).rectangle((0, 0, 31, 64), fill=255)
    photo.putalpha(visible)

    _, gradient, _ = evaluated(noisy(96, 64), params, narrow, content=photo)

    assert gradient[..., 40:].abs().max() == 0


@pytest.mark.parametrize("layer", ["relu1_1", "relu4_1"])
def test_speck_of_a_mask_leaves_the_loss_finite(narrow, layer):
    """A few pixels in the corner that no whole position of a deep layer holds."""
    speck = Image.new("L", (101, 69), 0)
    speck.putpixel((100, 68), 255)
    params = small(style_layers={layer: 1.0}, histogram_weight=1.0)

    terms, gradient, _ = evaluated(noisy(101, 69), params, narrow, masks=(speck,))

    assert terms.total.isfinite()
    assert gradient.isfinite().all()


def test_mask_over_transparent_parts_alone_leaves_the_loss_finite(narrow):
    photo, (left, right) = mosaic(96, 64, seed=1), halves(96, 64)
    photo.putalpha(left.point(lambda level: 255 * (level > 200)))
    hidden = right.point(lambda level: 255 * (level > 200))

    terms, gradient, _ = evaluated(
        noisy(96, 64), small(), narrow, content=photo, masks=(left, hidden), styles=2
    )

    assert terms.total.isfinite()
    assert gradient.isfinite().all()


def test_small_style_scale_stretches_no_slim_style():
    width, height = style_size((400, 100), Scale(128, 128, 1), 0.1)

    assert (width, height) == (128, 32)
