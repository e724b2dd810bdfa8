"""The run: how it goes on, what it minimises, and what it tells after each step."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from PIL import Image

from nst_core import schedule
from nst_core.engine import stylize
from nst_core.iteration import has_settled
from nst_core.layers import LAYERS
from nst_core.objective import Objective
from nst_core.params import StyleParams
from nst_core.pixels import preprocess
from nst_core.regions import style_size
from nst_core.sources import Sources
from nst_core.targets import TargetCache
from nst_core.vgg import Vgg
from tests.networks import narrow_network
from tests.stylings import apart, content_distance, run, small, style_distance


@pytest.fixture(scope="module")
def narrow():
    return narrow_network()


def test_total_loss_falls_in_each_scale_and_by_a_quarter_in_all(photo, painting, network):
    losses = [
        (progress.scale.index, progress.losses.total)
        for progress in stylize(photo, [painting], small(steps=30), network=network)
    ]

    for scale in (1, 2):
        here = [total for index, total in losses if index == scale]
        assert here[-1] < here[0]
    assert losses[-1][1] < 0.75 * losses[0][1]


def test_result_is_nearer_to_the_style_than_the_photo_is(photo, painting, network):
    result = run(photo, [painting], small(steps=30), network).picture()

    before = style_distance(photo, painting, network)
    assert style_distance(result, painting, network) < before / 2


def test_content_weight_keeps_the_photo(photo, painting, network):
    kept = run(photo, [painting], small(content_weight=1e6), network).picture()

    assert apart(kept, photo.resize(kept.size)) < 15


def test_content_only_recovers_the_photo_from_noise(photo, painting, network):
    params = small(
        init="random",
        style_weight=0,
        tv_weight=0,
        content_layers={"relu1_1": 1.0},
        scales=1,
        steps=60,
        learning_rate=0.1,
    )

    pictures = [
        progress.picture() for progress in stylize(photo, [painting], params, network=network)
    ]

    wanted = photo.resize(pictures[0].size)
    assert apart(pictures[-1], wanted) < 0.5 * apart(pictures[0], wanted)


def test_stylization_trades_the_photo_for_the_style(photo, painting, network):
    pictures = [
        run(photo, [painting], small(steps=24, stylization=each), network).picture()
        for each in (0, 0.5, 1)
    ]

    styles = [style_distance(picture, painting, network) for picture in pictures]
    contents = [content_distance(picture, photo, network) for picture in pictures]
    assert all(after < before for before, after in pairwise(styles))
    assert all(after > before for before, after in pairwise(contents))


def test_progress_counts_steps_and_scales(photo, painting, narrow):
    steps = list(stylize(photo, [painting], small(steps=9, scales=2), network=narrow))

    assert [progress.step for progress in steps] == list(range(1, 10))
    assert {progress.total_steps for progress in steps} == {9}
    plan = schedule.plan(photo.width, photo.height, small(steps=9))
    assert [progress.scale.index for progress in steps] == [1] * plan[0].steps + [2] * plan[1].steps
    assert (steps[-1].scale.width, steps[-1].scale.count) == (96, 2)
    assert {progress.scale.tiles for progress in steps} == {1}
    assert steps[-1].picture().size == (steps[-1].scale.width, steps[-1].scale.height)


def test_losses_are_the_weighted_terms_of_the_total(photo, painting, narrow):
    losses = next(stylize(photo, [painting], small(init="style"), network=narrow)).losses

    assert losses.total == pytest.approx(losses.content + losses.style + losses.tv)
    assert min(losses.content, losses.style, losses.tv) > 0


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
def test_same_seed_gives_the_same_bytes(photo, painting, narrow, optimizer):
    params = small(init="random", optimizer=optimizer, seed=7)

    first, second = (run(photo, [painting], params, narrow).picture() for _ in range(2))
    other = run(photo, [painting], params.model_copy(update={"seed": 8}), narrow).picture()

    assert first.tobytes() == second.tobytes()
    assert first.tobytes() != other.tobytes()


@pytest.mark.parametrize("init", ["content", "random", "style"])
def test_every_start_leads_to_a_picture_of_the_contents_shape(photo, painting, narrow, init):
    tall = painting.resize((50, 120))

    result = run(photo, [tall], small(init=init, steps=3), narrow).picture()

    assert result.size == schedule.fit(photo.width, photo.height, 96)


def test_samples_have_levels_that_8_bits_cannot_hold(photo, painting, narrow):
    progress = run(photo, [painting], small(), narrow)

    samples, picture = progress.samples(), np.asarray(progress.picture())

    assert (samples.dtype, samples.shape) == (np.uint16, picture.shape)
    assert np.abs(samples / 257 - picture).max() <= 0.5 + 1e-6
    assert np.mean(samples % 257 == 0) < 0.2


def test_tolerance_ends_a_scale_early_and_says_so(photo, painting, narrow):
    steps = list(stylize(photo, [painting], small(steps=60, tolerance=0.9), network=narrow))

    assert len(steps) < 60
    assert [p.step for p in steps if p.step == p.total_steps] == [len(steps)]
    assert {progress.scale.index for progress in steps} == {1, 2}


def test_settling_is_judged_by_means_and_never_by_a_rise():
    flat, falling = [5.0] * 20, [20.0 - step for step in range(20)]
    rising = [1.0 + step for step in range(20)]
    spiking = [*[5.0] * 19, 50.0]

    verdicts = [has_settled(totals, 0.01) for totals in (flat, flat[:19], falling, rising, spiking)]

    assert verdicts == [True, False, False, False, False]


def test_style_beside_a_strip_is_no_larger_than_twice_the_strip():
    strip = schedule.Scale(1024, 32, 1)

    square = style_size((640, 640), strip, 1.0)
    ordinary = style_size((640, 640), schedule.Scale(512, 384, 1), 1.0)
    doubled = style_size((640, 320), schedule.Scale(512, 384, 1), 2.0)

    assert square[0] * square[1] <= 2.1 * 1024 * 32
    assert ordinary == (512, 512)
    assert doubled == (1024, 512)


def test_tiny_and_odd_pictures_are_stylised(narrow):
    strip = Image.effect_noise((500, 3), 90).convert("RGB")
    square = Image.effect_noise((17, 17), 90).convert("RGB")

    result = run(strip, [square], small(size=65, steps=2), narrow).picture()

    assert result.size == (65, 32)


@pytest.mark.parametrize("loss", ["wasserstein", "gatys"])
def test_photo_and_style_of_one_colour_are_stylised(narrow, loss):
    green, red = (Image.new("RGB", (40, 30), color) for color in ((40, 160, 70), (200, 30, 20)))

    result = run(green, [red], small(loss=loss, histogram_weight=1, steps=6), narrow).picture()

    assert result.size == (96, 72)
    r, _, _ = result.resize((1, 1), Image.Resampling.BOX).getpixel((0, 0))
    assert r > 40


def test_bfloat16_comes_close_to_float32(photo, painting, network):
    exact, coarse = (
        run(photo, [painting], small(steps=30, precision=each), network).picture()
        for each in ("float32", "bfloat16")
    )

    assert apart(exact, coarse) < 8
    distance = style_distance(exact, painting, network)
    assert style_distance(coarse, painting, network) == pytest.approx(distance, rel=0.25)


def test_gatys_preset_computes_the_published_sums(photo, painting, network):
    params = StyleParams(preset="gatys", size=64, steps=1, precision="float32")
    scale = schedule.plan(photo.width, photo.height, params)[0]
    pixels = preprocess(painting, (scale.width, scale.height)).requires_grad_()
    sources = Sources.prepare(photo, [painting], (), params)

    terms = Objective(sources, params, network=network, scale=scale).evaluate(pixels)

    content = preprocess(photo, (scale.width, scale.height))
    style = preprocess(painting, schedule.fit(painting.width, painting.height, 64))
    f, p, a = (network.features(x, LAYERS[:30], "average") for x in (pixels, content, style))
    expected = 0.0
    for layer in ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"):
        g, target = (t[layer][0].flatten(1).double() for t in (f, a))
        difference = g @ g.T / g.shape[1] - target @ target.T / target.shape[1]
        expected += 0.2 * (difference**2).sum().item() / (4 * len(g) ** 2)
    half = ((f["relu4_2"] - p["relu4_2"]).double() ** 2).sum().item() / 2
    assert terms.style.item() == pytest.approx(params.style_weight * expected, rel=1e-4)
    assert terms.content.item() == pytest.approx(params.content_weight * half, rel=1e-4)
    assert terms.tv.item() == 0


def test_cached_style_is_not_looked_at_again(photo, painting, narrow, monkeypatch):
    cache, looks = TargetCache(), []
    features = Vgg.features
    monkeypatch.setattr(
        Vgg, "features", lambda *args, **how: looks.append(1) or features(*args, **how)
    )

    def looked(content):
        looks.clear()
        picture = run(content, [painting], small(), narrow, cache=cache).picture()
        return len(looks), picture

    first, fresh = looked(photo)
    again, cached = looked(photo)
    other, _ = looked(photo.rotate(180))

    assert first - again == 2  # one look at the style in each scale
    assert other == again
    assert cached.tobytes() == fresh.tobytes()


def test_picture_does_not_move_with_the_run(photo, painting, narrow):
    steps = stylize(photo, [painting], small(), network=narrow)
    early = next(steps).picture()
    before = early.tobytes()

    for _ in steps:
        pass

    assert early.tobytes() == before


def test_caller_keeps_torchs_settings(photo, painting, narrow):
    matmul = torch.backends.mkldnn.matmul
    before = (torch.is_grad_enabled(), torch.get_num_threads(), matmul.fp32_precision)

    run(photo, [painting], small(steps=2, precision="bfloat16"), narrow)

    after = (torch.is_grad_enabled(), torch.get_num_threads(), matmul.fp32_precision)
    assert after == before
