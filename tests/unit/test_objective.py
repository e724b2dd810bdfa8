import pytest
import torch
from PIL import Image

from nst_core.estimate import WHOLE
from nst_core.objective import Objective
from nst_core.pixels import preprocess
from nst_core.regions import style_size
from nst_core.schedule import Scale
from nst_core.sources import Sources
from tests.networks import narrow_network
from tests.objectives import LAYERS, assert_same, evaluated, halves, mosaic, noisy, small


@pytest.fixture(scope="module")
def narrow():
    return narrow_network()


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
        pixels, small(content_weight=3.0, style_weight=60.0, tv_weight=3.0), narrow
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
