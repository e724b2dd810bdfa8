import math
from collections import deque
from contextlib import closing
from itertools import islice

import pytest
import torch
from PIL import Image

from nst_core import schedule
from nst_core.checkpoint import Checkpoint
from nst_core.engine import stylize
from nst_core.errors import (
    CheckpointMismatch,
    Diverged,
    InvalidParams,
    OutOfMemory,
    WeightsUnavailable,
)
from nst_core.iteration import has_settled
from nst_core.layers import LAYERS, depth
from nst_core.losses import energy, gram, relative_loss
from nst_core.objective import Objective, style_size
from nst_core.params import StyleParams
from nst_core.pixels import preprocess
from nst_core.vgg import Vgg
from tests.networks import narrow_network


def small(**changes):
    return StyleParams(**{"size": 96, "steps": 12, "scales": 2, "precision": "float32"} | changes)


@pytest.fixture(scope="module")
def narrow():
    return narrow_network()


def run(photo, painting, params, network, *, resume=None):
    """Return the last progress of a whole run."""
    return deque(stylize(photo, [painting], params, network=network, resume=resume), maxlen=1)[0]


def stop_at(step, photo, painting, params, network):
    """Return the stored checkpoint of a run that was given up after `step`."""
    with closing(stylize(photo, [painting], params, network=network)) as steps:
        progress = next(islice(steps, step - 1, None))
        return Checkpoint.from_bytes(progress.checkpoint().to_bytes())


def style_distance(picture, painting, network):
    """Return how far a picture's Gram matrices are from the painting's."""
    layers = ["relu1_1", "relu2_1", "relu3_1", "relu4_1"]
    with torch.no_grad():
        found, wanted = (
            network.features(preprocess(each, size), layers)
            for each, size in ((picture, None), (painting, (picture.width, picture.height)))
        )
        grams = [(gram(found[layer]), gram(wanted[layer])) for layer in layers]
        return sum(relative_loss(ours, its, energy(its)).item() for ours, its in grams)


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
    result = run(photo, painting, small(steps=30), network).picture()

    before = style_distance(photo, painting, network)
    assert style_distance(result, painting, network) < before / 2


def test_content_weight_keeps_the_photo(photo, painting, network):
    kept = run(photo, painting, small(content_weight=1e6), network).picture()

    difference = preprocess(kept) - preprocess(photo, kept.size)
    assert difference.abs().mean() < 0.25


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

    result = run(photo, painting, params, network).picture()

    before = preprocess(
        run(photo, painting, params.model_copy(update={"steps": 1}), network).picture()
    )
    wanted = preprocess(photo, result.size)
    assert (preprocess(result) - wanted).abs().mean() < 0.5 * (before - wanted).abs().mean()


def test_progress_counts_steps_and_scales(photo, painting, narrow):
    steps = list(stylize(photo, [painting], small(steps=9, scales=2), network=narrow))

    assert [progress.step for progress in steps] == list(range(1, 10))
    assert {progress.total_steps for progress in steps} == {9}
    plan = schedule.plan(photo.width, photo.height, small(steps=9))
    assert [progress.scale.index for progress in steps] == [1] * plan[0].steps + [2] * plan[1].steps
    assert (steps[-1].scale.width, steps[-1].scale.count) == (96, 2)
    assert steps[-1].picture().size == (steps[-1].scale.width, steps[-1].scale.height)


def test_losses_are_the_weighted_terms_of_the_total(photo, painting, narrow):
    losses = next(stylize(photo, [painting], small(init="style"), network=narrow)).losses

    assert losses.total == pytest.approx(losses.content + losses.style + losses.tv)
    assert min(losses.content, losses.style, losses.tv) > 0


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
def test_same_seed_gives_the_same_bytes(photo, painting, narrow, optimizer):
    params = small(init="random", optimizer=optimizer, seed=7)

    first, second = (run(photo, painting, params, narrow).picture() for _ in range(2))
    other = run(photo, painting, params.model_copy(update={"seed": 8}), narrow).picture()

    assert first.tobytes() == second.tobytes()
    assert first.tobytes() != other.tobytes()


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
@pytest.mark.parametrize("step", [3, 8, 10], ids=["in a scale", "at a scale's end", "in the last"])
def test_resumed_run_equals_the_uninterrupted_one(photo, painting, narrow, optimizer, step):
    params = small(optimizer=optimizer)
    straight = [
        (progress.step, progress.losses, progress.picture().tobytes())
        for progress in stylize(photo, [painting], params, network=narrow)
    ]

    saved = stop_at(step, photo, painting, params, narrow)
    resumed = [
        (progress.step, progress.losses, progress.picture().tobytes())
        for progress in stylize(photo, [painting], params, network=narrow, resume=saved)
    ]

    assert straight[step - 1][0] == step
    assert resumed == straight[step:]


def test_resume_from_the_last_step_yields_it_again(photo, painting, narrow):
    params = small()
    straight = run(photo, painting, params, narrow)

    resumed = list(stylize(photo, [painting], params, network=narrow, resume=straight.checkpoint()))

    assert [progress.step for progress in resumed] == [12]
    assert resumed[0].losses == straight.losses
    assert resumed[0].picture().tobytes() == straight.picture().tobytes()


def test_checkpoint_does_not_move_with_the_run(photo, painting, narrow):
    steps = stylize(photo, [painting], small(), network=narrow)
    saved = next(steps).checkpoint()
    before = saved.to_bytes()

    for _ in steps:
        pass

    assert saved.to_bytes() == before


@pytest.mark.parametrize("changed", ["params", "content", "style", "weights"])
def test_checkpoint_of_another_run_is_refused(photo, painting, narrow, changed):
    saved = stop_at(2, photo, painting, small(), narrow)
    params = small(style_weight=9) if changed == "params" else small()
    content, style = (
        each.rotate(180) if changed == name else each
        for name, each in (("content", photo), ("style", painting))
    )
    network = narrow.to(dtype=torch.float32)
    network.name = "other" if changed == "weights" else narrow.name

    with pytest.raises(CheckpointMismatch):
        next(stylize(content, [style], params, network=network, resume=saved))


def test_tolerance_ends_a_scale_early_and_says_so(photo, painting, narrow):
    steps = list(stylize(photo, [painting], small(steps=60, tolerance=0.9), network=narrow))

    assert len(steps) < 60
    assert [p.step for p in steps if p.step == p.total_steps] == [len(steps)]
    assert {progress.scale.index for progress in steps} == {1, 2}


def test_scale_ended_by_tolerance_stays_ended_after_resume(photo, painting, narrow):
    params = small(steps=60, tolerance=0.9)
    straight = list(stylize(photo, [painting], params, network=narrow))
    last_of_first = [p.step for p in straight if p.scale.index == 1][-1]

    saved = stop_at(last_of_first, photo, painting, params, narrow)
    resumed = run(photo, painting, params, narrow, resume=saved)

    assert resumed.total_steps == len(straight)


def test_resumed_run_ends_by_tolerance_where_the_uninterrupted_one_does(photo, painting, narrow):
    params = small(steps=60, tolerance=0.9)
    straight = run(photo, painting, params, narrow)

    saved = stop_at(5, photo, painting, params, narrow)
    resumed = run(photo, painting, params, narrow, resume=saved)

    assert (resumed.step, resumed.losses) == (straight.step, straight.losses)


@pytest.mark.parametrize("init", ["content", "random", "style"])
def test_every_start_leads_to_a_picture_of_the_contents_shape(photo, painting, narrow, init):
    tall = painting.resize((50, 120))

    result = run(photo, tall, small(init=init, steps=3), narrow).picture()

    assert result.size == schedule.fit(photo.width, photo.height, 96)


def test_second_style_counts_by_its_weight(photo, painting, narrow):
    red = Image.new("RGB", (64, 64), (255, 0, 0))

    def redness(*blend):
        params = small(style_blend=blend, steps=20, content_weight=0, learning_rate=0.1)
        last = deque(stylize(photo, [painting, red], params, network=narrow), maxlen=1)[0]
        r, g, b = last.picture().resize((1, 1), Image.Resampling.BOX).getpixel((0, 0))
        return r - (g + b) / 2

    assert redness(1, 20) > redness(1, 1) > redness(20, 1)


def test_settling_is_judged_by_means_and_never_by_a_rise():
    flat, falling = [5.0] * 20, [20.0 - step for step in range(20)]
    rising = [1.0 + step for step in range(20)]
    spiking = [*[5.0] * 19, 50.0]

    verdicts = [has_settled(totals, 0.01) for totals in (flat, flat[:19], falling, rising, spiking)]

    assert verdicts == [True, False, False, False, False]


def test_last_step_that_blows_up_is_no_success(photo, painting, narrow, monkeypatch):
    def blow_up(optimizer, evaluate):
        evaluate()
        optimizer.param_groups[0]["params"][0].data.fill_(math.nan)

    monkeypatch.setattr("nst_core.iteration.take_step", blow_up)

    with pytest.raises(Diverged, match="the picture"):
        run(photo, painting, small(steps=1), narrow)


def test_only_losses_with_a_weight_need_their_layers(photo, painting, narrow):
    cut = {
        f"features.{depth(layer)}.{part}": tensor
        for layer, tensors in narrow._convs.items()
        for part, tensor in zip(("weight", "bias"), tensors, strict=True)
        if depth(layer) <= depth("conv2_1")
    }
    params = small(style_weight=0, content_layers={"relu2_1": 1}, steps=2)

    last = run(photo, painting, params, Vgg(cut, name="cut"))

    assert (last.step, last.losses.style) == (2, 0)


def test_style_beside_a_strip_is_no_larger_than_twice_the_strip():
    strip = schedule.Scale(1024, 32, 1)

    square = style_size((640, 640), strip)
    ordinary = style_size((640, 640), schedule.Scale(512, 384, 1))

    assert square[0] * square[1] <= 2.1 * 1024 * 32
    assert ordinary == (512, 512)


def test_blend_of_another_length_is_refused_before_any_work(photo, painting, narrow):
    with pytest.raises(InvalidParams, match="2 weights for 1"):
        next(stylize(photo, [painting], small(style_blend=(1, 1)), network=narrow))


def test_tiny_and_odd_pictures_are_stylised(narrow):
    strip = Image.effect_noise((500, 3), 90).convert("RGB")
    square = Image.effect_noise((17, 17), 90).convert("RGB")

    result = run(strip, square, small(size=65, steps=2), narrow).picture()

    assert result.size == (65, 32)


def test_missing_layer_is_named_before_any_work(photo, painting):
    cut = Vgg(
        {"features.0.weight": torch.zeros(4, 3, 3, 3), "features.0.bias": torch.zeros(4)},
        name="file:cut@00000000",
    )

    with pytest.raises(WeightsUnavailable, match="relu4_2"):
        next(stylize(photo, [painting], small(), network=cut))


def test_infinite_loss_is_divergence(photo, painting, narrow):
    params = small(loss="gatys", optimizer="lbfgs", learning_rate=10, style_weight=1e12, steps=200)

    with pytest.raises(Diverged, match="at step"):
        run(photo, painting, params, narrow)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
    ],
    ids=["cuda", "python", "cpu"],
)
def test_exhausted_memory_is_out_of_memory(photo, painting, narrow, monkeypatch, error):
    def exhausted(self, pixels):
        raise error

    monkeypatch.setattr(Objective, "__call__", exhausted)

    with pytest.raises(OutOfMemory) as caught:
        next(stylize(photo, [painting], small(), network=narrow))
    assert caught.value.retryable


def test_bfloat16_comes_close_to_float32(photo, painting, network):
    exact, coarse = (
        run(photo, painting, small(steps=30, precision=each), network).picture()
        for each in ("float32", "bfloat16")
    )

    assert (preprocess(coarse) - preprocess(exact)).abs().mean() < 0.25
    distance = style_distance(exact, painting, network)
    assert style_distance(coarse, painting, network) == pytest.approx(distance, rel=0.25)


def test_gatys_preset_computes_the_published_sums(photo, painting, network):
    params = StyleParams(preset="gatys", size=64, steps=1, precision="float32")
    scale = schedule.plan(photo.width, photo.height, params)[0]
    pixels = preprocess(painting, (scale.width, scale.height))

    terms = Objective(photo, [painting], params, network=network, scale=scale)(pixels)

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
