"""What a run does when something is missing: memory, numbers, layers."""

import math

import numpy as np
import pytest
import torch

from nst_core.engine import stylize
from nst_core.errors import Diverged, InvalidMask, InvalidParams, OutOfMemory, WeightsUnavailable
from nst_core.iteration import MAX_RECOVERIES
from nst_core.layers import depth
from nst_core.objective import Objective, Terms
from nst_core.vgg import Vgg
from tests.networks import narrow_network
from tests.stylings import apart, run, small


@pytest.fixture(scope="module")
def narrow():
    return narrow_network()


@pytest.fixture
def evaluations(monkeypatch):
    """Count evaluations, and let a test say what becomes of one of them."""
    evaluate = Objective.evaluate

    class Evaluations:
        count = 0

        def spoil(self, pixels, terms):
            return terms

    evaluations = Evaluations()

    def counted(objective, pixels):
        terms = evaluate(objective, pixels)
        evaluations.count += 1
        return evaluations.spoil(pixels, terms)

    monkeypatch.setattr(Objective, "evaluate", counted)
    return evaluations


def no_number(pixels, terms):
    return Terms(terms.content * math.nan, terms.style, terms.tv)


def no_gradient(pixels, terms):
    pixels.grad[..., 0, 0] = math.inf
    return terms


def neither(pixels, terms):
    pixels.grad.fill_(math.nan)
    return no_number(pixels, terms)


SPOILS = [no_number, no_gradient, neither]


@pytest.mark.parametrize("spoil", SPOILS)
@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
@pytest.mark.parametrize("at", [2, 5, 12], ids=["early", "midway", "last"])
def test_one_broken_step_is_survived_at_half_the_rate(
    photo, painting, narrow, evaluations, at, optimizer, spoil
):
    evaluations.spoil = lambda pixels, terms: (
        spoil(pixels, terms) if evaluations.count == at else terms
    )
    params = small(optimizer=optimizer, scales=1)

    steps = [
        (progress.step, progress.checkpoint(), np.asarray(progress.picture()))
        for progress in stylize(photo, [painting], params, network=narrow)
    ]

    last = steps[-1][1]
    assert [step for step, *_ in steps] == list(range(1, 13))
    assert last.recoveries == 1
    assert last.rate == pytest.approx(params.learning_rate / 2)
    assert all(saved.pixels.isfinite().all() for _, saved, _ in steps)
    assert all(math.isfinite(value) for value in last.losses.values())
    assert all(picture.std() > 5 for *_, picture in steps)


@pytest.mark.parametrize("spoil", SPOILS)
@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
def test_run_that_breaks_again_and_again_is_given_up(
    photo, painting, narrow, evaluations, optimizer, spoil
):
    evaluations.spoil = lambda pixels, terms: (
        spoil(pixels, terms) if evaluations.count > 3 else terms
    )

    with pytest.raises(Diverged, match="at step") as caught:
        run(photo, [painting], small(optimizer=optimizer, steps=100), narrow)

    assert evaluations.count <= 3 + MAX_RECOVERIES + 1
    assert caught.value.hint
    assert not caught.value.retryable


@pytest.mark.parametrize("spoil", SPOILS)
def test_run_that_is_broken_from_the_start_is_given_up_at_once(
    photo, painting, narrow, evaluations, spoil
):
    evaluations.spoil = spoil

    with pytest.raises(Diverged):
        run(photo, [painting], small(), narrow)

    assert evaluations.count == 1


@pytest.mark.parametrize("loss", ["wasserstein", "gatys"])
def test_rate_that_is_too_high_still_leaves_a_picture_better_than_the_first(
    photo, painting, narrow, loss
):
    params = small(optimizer="lbfgs", learning_rate=10, loss=loss, scales=1, steps=40)

    lowest = [
        progress.checkpoint().shown["lowest"]
        for progress in stylize(photo, [painting], params, network=narrow)
    ]

    assert lowest[-1] < lowest[0]


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
    ],
    ids=["cuda", "python", "cpu"],
)
def test_memory_that_fits_no_tile_is_out_of_memory(photo, painting, narrow, monkeypatch, error):
    tiles = []

    def exhausted(self, pixels):
        tiles.append(self.tiles)
        raise error

    monkeypatch.setattr(Objective, "evaluate", exhausted)

    with pytest.raises(OutOfMemory) as caught:
        next(stylize(photo, [painting], small(size=256, scales=1), network=narrow))
    assert tiles == sorted(set(tiles))
    assert len(tiles) > 1
    assert caught.value.retryable


def test_any_other_fault_is_no_matter_of_memory(photo, painting, narrow, monkeypatch):
    def broken(self, pixels):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr(Objective, "evaluate", broken)

    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        next(stylize(photo, [painting], small(), network=narrow))


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
def test_run_that_does_not_fit_whole_goes_on_in_tiles(
    photo, painting, narrow, monkeypatch, optimizer
):
    params = small(size=144, scales=1, steps=5, optimizer=optimizer)
    whole = run(photo, [painting], params, narrow)
    evaluate, failures = Objective.evaluate, []

    def exhausted_once(self, pixels):
        if not failures:
            failures.append(self.tiles)
            raise MemoryError
        return evaluate(self, pixels)

    monkeypatch.setattr(Objective, "evaluate", exhausted_once)
    tiled = run(photo, [painting], params, narrow)

    assert failures == [1]
    assert whole.scale.tiles == 1
    assert tiled.scale.tiles > 1
    assert tiled.losses.total == pytest.approx(whole.losses.total, rel=1e-2)
    assert apart(tiled.picture(), whole.picture()) < 0.5


def test_memory_that_runs_out_midway_costs_no_step(photo, painting, narrow, monkeypatch):
    params = small(size=144, scales=1)
    evaluate, count = Objective.evaluate, []

    def exhausted_midway(self, pixels):
        count.append(self.tiles)
        if len(count) == 5:
            raise MemoryError
        return evaluate(self, pixels)

    monkeypatch.setattr(Objective, "evaluate", exhausted_midway)
    steps = list(stylize(photo, [painting], params, network=narrow))

    assert [progress.step for progress in steps] == list(range(1, 13))
    assert [progress.scale.tiles > 1 for progress in steps] == [False] * 4 + [True] * 8


def test_only_losses_with_a_weight_need_their_layers(photo, painting, narrow):
    cut = {
        f"features.{depth(layer)}.{part}": tensor
        for layer, conv in narrow._convs.items()
        for part, tensor in (("weight", conv.weight), ("bias", conv.bias))
        if depth(layer) <= depth("conv2_1")
    }
    params = small(style_weight=0, content_layers={"relu2_1": 1}, steps=2)

    last = run(photo, [painting], params, Vgg(cut, name="cut"))

    assert (last.step, last.losses.style) == (2, 0)


def test_missing_layer_is_named_before_any_work(photo, painting):
    cut = Vgg(
        {"features.0.weight": torch.zeros(4, 3, 3, 3), "features.0.bias": torch.zeros(4)},
        name="file:cut@00000000",
    )

    with pytest.raises(WeightsUnavailable, match="relu4_2"):
        next(stylize(photo, [painting], small(), network=cut))


def test_blend_of_another_length_is_refused_before_any_work(photo, painting, narrow):
    with pytest.raises(InvalidParams, match="2 weights for 1"):
        next(stylize(photo, [painting], small(style_blend=(1, 1)), network=narrow))


def test_masks_of_another_number_are_refused_before_any_work(photo, painting, narrow):
    mask = photo.convert("L")

    with pytest.raises(InvalidMask, match="2 masks for 1"):
        next(stylize(photo, [painting], small(), network=narrow, masks=(mask, mask)))


def test_nothing_to_be_seen_is_refused(photo, painting, narrow):
    invisible = photo.convert("RGBA")
    invisible.putalpha(0)

    for content, styles in ((invisible, [painting]), (photo, [painting, invisible]), (photo, [])):
        with pytest.raises(InvalidParams):
            run(content, styles, small(), narrow)
