import pytest
import torch
from PIL import Image, ImageDraw

from nst_core.objective import WHOLE, Objective
from nst_core.params import StyleParams
from nst_core.pixels import preprocess
from nst_core.regions import style_size
from nst_core.schedule import Scale
from nst_core.sources import Sources
from tests.networks import narrow_network

LAYERS = {"relu1_1": 0.4, "relu2_1": 0.4, "relu4_1": 0.2}


@pytest.fixture(scope="module")
def narrow():
    return narrow_network()


def small(**changes):
    """Layers no deeper than needs be: pictures of this size have few positions below relu4_1."""
    defaults = {"size": 96, "precision": "float32", "style_layers": LAYERS}
    return StyleParams(**defaults | {"content_layers": {"relu3_2": 1.0}} | changes)


def mosaic(width, height, *, seed, mode="RGB"):
    """Smooth shapes in many colours, so that no layer falls silent."""
    generator = torch.Generator().manual_seed(seed)
    levels = torch.randint(0, 256, (9, 11, 3), dtype=torch.uint8, generator=generator).numpy()
    return Image.fromarray(levels).resize((width, height), Image.Resampling.BICUBIC).convert(mode)


def halves(width, height):
    """A mask whose left is white, with an edge of grey, and its negative."""
    mask = Image.new("L", (width, height), 0)
    ImageDraw.Draw(mask).rectangle((0, 0, width // 3, height), fill=255)
    mask = mask.resize((width // 4, height // 4)).resize((width, height))
    return mask, mask.point(lambda level: 255 - level)


def evaluated(pixels, params, network, *, edge=WHOLE, masks=(), styles=1, content=None):
    """Return the terms and the gradient of a picture."""
    width, height = pixels.shape[-1], pixels.shape[-2]
    brushes = [mosaic(70, 64, seed=5), mosaic(64, 90, seed=6)][:styles]
    photo = content or mosaic(width, height, seed=1)
    objective = Objective(
        Sources.prepare(photo, brushes, masks, params),
        params,
        network=network,
        scale=Scale(width, height, 1),
        tile_edge=edge,
    )
    moving = pixels.clone().requires_grad_()
    terms = objective.evaluate(moving)
    return terms, moving.grad, objective.tiles


def noisy(width, height):
    generator = torch.Generator().manual_seed(0)
    return preprocess(mosaic(width, height, seed=2)) + torch.randn(
        1, 3, height, width, generator=generator
    )


def assert_same(found, expected):
    for name in ("content", "style", "tv", "total"):
        ours, its = getattr(found[0], name).item(), getattr(expected[0], name).item()
        assert ours == pytest.approx(its, rel=1e-4), name
    error = (found[1] - expected[1]).norm() / expected[1].norm()
    assert error < 1e-4


CASES = {
    "plain": {},
    "content alone": {"style_weight": 0},
    "style alone": {"content_weight": 0, "tv_weight": 0},
    "histogram": {"histogram_weight": 4.0},
    "gatys": {"loss": "gatys", "pooling": "max", "histogram_weight": 4.0},
    "max": {"pooling": "max"},
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("masked", [False, True], ids=["unmasked", "masked"])
def test_tiles_have_the_gradient_of_the_whole(narrow, case, masked):
    params, pixels = small(**CASES[case]), noisy(101, 69)
    options = {"masks": halves(101, 69), "styles": 2} if masked else {}

    whole = evaluated(pixels, params, narrow, **options)
    cut = evaluated(pixels, params, narrow, edge=40, **options)

    assert (whole[2], cut[2]) == (1, 6)
    assert_same(cut, whole)


def test_tiles_of_a_large_odd_picture_have_the_gradient_of_the_whole(narrow):
    params = small(histogram_weight=2.0, style_layers=LAYERS | {"relu5_1": 0.2})
    pixels, options = noisy(333, 205), {"masks": halves(333, 205), "styles": 2}

    whole = evaluated(pixels, params, narrow, **options)
    cut = evaluated(pixels, params, narrow, edge=128, **options)

    assert cut[2] == 6
    assert_same(cut, whole)


def test_tiles_of_a_photo_with_transparent_parts_agree(narrow):
    photo = mosaic(101, 69, seed=1)
    photo.putalpha(halves(101, 69)[0])
    params = small(histogram_weight=2.0)

    whole = evaluated(noisy(101, 69), params, narrow, content=photo)
    cut = evaluated(noisy(101, 69), params, narrow, content=photo, edge=40)

    assert_same(cut, whole)


@pytest.mark.parametrize("edge", [WHOLE, 40], ids=["whole", "tiles"])
def test_gradient_agrees_with_finite_differences(narrow, edge):
    """Along a random direction, of the whole sum: smooth layers, so that no ReLU flips."""
    network = narrow.to(dtype=torch.float64)
    params, pixels = small(), noisy(64, 48).double()
    generator = torch.Generator().manual_seed(9)
    way = torch.randn(pixels.shape, generator=generator, dtype=torch.float64)

    _, gradient, _ = evaluated(pixels, params, network, edge=edge)

    step = 1e-5
    ahead, behind = (
        evaluated(pixels + sign * step * way, params, network, edge=edge)[0].total.double()
        for sign in (1, -1)
    )
    slope = (ahead - behind).item() / (2 * step)
    assert (gradient * way).sum().item() == pytest.approx(slope, rel=1e-2)


@pytest.mark.parametrize("edge", [WHOLE, 40], ids=["whole", "tiles"])
def test_each_evaluation_leaves_its_own_gradient(narrow, edge):
    sources = Sources.prepare(mosaic(101, 69, seed=1), [mosaic(64, 64, seed=5)], (), small())
    objective = Objective(sources, small(), network=narrow, scale=Scale(101, 69, 1), tile_edge=edge)
    pixels = noisy(101, 69).requires_grad_()

    objective.evaluate(pixels)
    first = pixels.grad.clone()
    objective.evaluate(pixels)

    assert torch.equal(pixels.grad, first)


def test_photo_itself_has_no_content_loss(narrow):
    photo = mosaic(101, 69, seed=1)

    terms, *_ = evaluated(preprocess(photo), small(tv_weight=0), narrow, content=photo)

    assert terms.content.item() == 0
    assert terms.style.item() > 0


@pytest.mark.parametrize("loss", ["wasserstein", "gatys"])
def test_style_itself_has_next_to_no_style_loss(narrow, loss):
    params = small(loss=loss, style_weight=1.0)
    style = mosaic(70, 64, seed=5).resize(style_size((70, 64), Scale(96, 88, 1), 1.0))

    at_style, *_ = evaluated(preprocess(style), params, narrow)
    elsewhere, *_ = evaluated(noisy(96, 88), params, narrow)

    assert at_style.style < 0.05 * elsewhere.style


def test_terms_go_with_their_weights(narrow):
    pixels = noisy(96, 64)
    once, *_ = evaluated(pixels, small(tv_weight=1.0), narrow)

    thrice, *_ = evaluated(
        pixels, small(content_weight=3.0, style_weight=45.0, tv_weight=3.0), narrow
    )

    for name in ("content", "style", "tv", "total"):
        assert getattr(thrice, name).item() == pytest.approx(3 * getattr(once, name).item())


def test_histogram_loss_adds_to_the_style_term(narrow):
    pixels = noisy(96, 64)

    without, *_ = evaluated(pixels, small(), narrow)
    once, *_ = evaluated(pixels, small(histogram_weight=1.0), narrow)
    twice, *_ = evaluated(pixels, small(histogram_weight=2.0), narrow)

    added = (once.style - without.style).item()
    assert added > 0
    assert (twice.style - without.style).item() == pytest.approx(2 * added, rel=1e-3)


def test_white_mask_is_no_mask(narrow):
    pixels, params = noisy(96, 64), small(histogram_weight=2.0)

    bare = evaluated(pixels, params, narrow)
    masked = evaluated(pixels, params, narrow, masks=(Image.new("L", (10, 10), 255),))

    assert_same(masked, bare)


def test_even_grey_masks_take_each_style_by_its_weight(narrow):
    """The statistics are those of the whole picture for both styles, half of each."""
    pixels, params = noisy(96, 64), small()
    grey = Image.new("L", (10, 10), 127)

    both, *_ = evaluated(pixels, params, narrow, masks=(grey, grey), styles=2)

    first, *_ = evaluated(pixels, params, narrow)
    assert both.style > 0
    assert both.content.item() == pytest.approx(first.content.item(), rel=1e-5)


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


@pytest.mark.parametrize("edge", [WHOLE, 40], ids=["whole", "tiles"])
def test_photo_of_one_colour_has_a_finite_gradient(narrow, edge):
    flat = Image.new("RGB", (96, 64), (90, 140, 60))

    terms, gradient, _ = evaluated(
        preprocess(flat), small(histogram_weight=1.0), narrow, content=flat, edge=edge
    )

    assert terms.total.isfinite()
    assert gradient.isfinite().all()
    assert gradient.abs().max() < 1e3


def test_weights_mean_the_same_with_every_network(narrow):
    """A factor on all features cancels out."""
    louder = narrow_network()
    first = louder._convs["conv1_1"]
    for tensor in (first.weight, first.turned, *(c.bias for c in louder._convs.values())):
        tensor.mul_(8)
    pixels = noisy(96, 64)

    ours, *_ = evaluated(pixels, small(histogram_weight=1.0), narrow)
    its, *_ = evaluated(pixels, small(histogram_weight=1.0), louder)

    assert its.content.item() == pytest.approx(ours.content.item(), rel=1e-3)
    assert its.style.item() == pytest.approx(ours.style.item(), rel=1e-3)
